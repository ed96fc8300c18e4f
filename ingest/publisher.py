"""Write bodies to the raw topic: one idempotent producer per worker, driven by the event loop.

librdkafka runs delivery callbacks inside `Producer.poll`. The event loop itself calls `poll`, either when librdkafka
signals delivery reports (`ingest.delivery_report_fd`), or else every millisecond while deliveries are pending. A thread
that blocks in `poll` would have to win the interpreter's lock from the loop for every report.
"""

import asyncio
import os
from collections.abc import Mapping
from enum import Enum
from zlib import crc32

import structlog
from confluent_kafka import KafkaError, KafkaException, Message, Producer
from prometheus_client import Counter

from ingest import delivery_report_fd
from runtime import metrics
from runtime.errors import ConfigurationError, DependencyError
from runtime.kafka.admin import cluster_metadata
from runtime.kafka.clients import make_producer
from runtime.kafka.errors import clocks_differ, why_unreachable
from runtime.settings.model import Settings

log = structlog.get_logger()

Headers = list[tuple[str, str | bytes | None]]

POLL_INTERVAL_S = 0.001
WARM_UP_TIMEOUT_S = 10.0
PROBE_TIMEOUT_S = 2.0
REPLACE_INTERVAL_S = 5.0
"""Seconds from the replacement of a failed producer to the next: brokers that refuse one may refuse the next, too."""

FAILURE_MEMORY_S = 5.0
"""Seconds for which a failure makes the worker not ready, unless a success follows."""

DEFAULTS: Mapping[str, object] = {
    "linger.ms": 0.3,  # docs/performance.md
    "compression.type": "none",  # lz4 saves little on small batches, and costs 7 to 15 % more CPU per webhook
    "partitioner": "murmur2_random",  # Java's default, so that records from other writers share a person's partition
    "reconnect.backoff.ms": 50,
    "reconnect.backoff.max.ms": 1_000,
    "enable.sparse.connections": False,  # connect to all brokers at start, not at the first webhook
}
"""Defaults that `kafka.properties` may override."""


class PublishOutcome(Enum):
    """The result of publishing a body."""

    WRITTEN = "written"
    REFUSED = "refused"
    LATE = "late"


class TooManyInFlightError(Exception):
    """Accepting the body would exceed `ingest.max_in_flight_requests` or `…_bytes`, or librdkafka's queue is full."""


class _Delivery:
    """A body that waits for acknowledgement. librdkafka calls it with the delivery report."""

    __slots__ = ("begun", "done", "due", "publisher", "size")

    def __init__(
        self, publisher: "Publisher", done: asyncio.Future[PublishOutcome], size: int, begun: float, due: float
    ):
        self.publisher = publisher
        self.done = done
        self.size = size
        self.begun = begun
        self.due = due

    def __call__(self, error: KafkaError | None, _message: Message) -> None:
        self.publisher.on_delivery_report(self, error)


def new_producer(settings: Settings) -> Producer:
    """Make the producer of one worker. Raises ConfigurationError."""
    ingest = settings.ingest
    queue = {
        "queue.buffering.max.messages": ingest.max_in_flight_requests,
        "queue.buffering.max.kbytes": min(2 * ingest.max_in_flight_bytes // 1024 + 1, 2_097_151),
    }
    # A body that is late was answered 503 and will be sent again, so librdkafka need not retry it any longer.
    deadline = {"message.timeout.ms": ingest.produce_deadline_ms}
    return make_producer(settings, deadline, {**DEFAULTS, **queue})


class Publisher:
    """Writes bodies to the raw topic. Call its methods in the event loop's thread only."""

    def __init__(self, settings: Settings) -> None:
        """Make the producer. Raises ConfigurationError."""
        ingest = settings.ingest
        self._settings = settings
        self._topic = settings.topics.raw
        self._most_requests = ingest.max_in_flight_requests
        self._most_bytes = ingest.max_in_flight_bytes
        self._loop = asyncio.get_running_loop()
        self._in_flight: set[_Delivery] = set()
        self._in_flight_bytes = 0
        self._poll_due = False
        self._last_success = self._last_failure = float("-inf")
        self._latest_error: KafkaError | None = None
        """Why the latest delivery failed; None if it was only late."""
        self._fatal: str | None = None
        self._replace_at = float("-inf")
        self._errors: dict[str, Counter] = {}
        self._ack_seconds = metrics.buffered_histogram(metrics.INGEST_ACK_SECONDS)
        self._in_flight_gauge = metrics.INGEST_IN_FLIGHT.labels()
        self._in_flight_bytes_gauge = metrics.INGEST_IN_FLIGHT_BYTES.labels()
        self._partitions = 0
        """Partitions of the topic; 0 until they are known."""
        self._producer = self._connect()

    def _connect(self) -> Producer:
        producer = new_producer(self._settings)
        self._event = delivery_report_fd.open_fd(producer)
        """Descriptor that signals delivery reports, if there is one."""
        if self._event is not None:
            self._loop.add_reader(self._event, self._on_event, self._event, producer)
        return producer

    async def warm_up(self) -> None:
        """Connect and load the topic's metadata, so that the first webhook does not wait for it.

        Raises DependencyError if the topic does not exist or no broker answers.
        """
        await asyncio.to_thread(self._probe, WARM_UP_TIMEOUT_S)

    def publish(
        self,
        key: str | None,
        value: bytes,
        headers: Headers,
        timestamp_ms: int,
        due: float,
    ) -> asyncio.Future[PublishOutcome]:
        """Write a body to the raw topic. `due` is the event loop's time from which it is late.

        Raises TooManyInFlightError.
        """
        size = len(value)
        if len(self._in_flight) >= self._most_requests or self._in_flight_bytes + size > self._most_bytes:
            raise TooManyInFlightError
        done: asyncio.Future[PublishOutcome] = self._loop.create_future()
        delivery = _Delivery(self, done, size, self._loop.time(), due)
        # A body without a key goes to a partition by its bytes: deduplication works within a partition.
        partition = crc32(value) % self._partitions if key is None and self._partitions else -1
        try:
            self._producer.produce(
                self._topic, value, key, partition, delivery, timestamp=timestamp_ms, headers=headers
            )
        except BufferError:
            raise TooManyInFlightError from None
        except KafkaException as error:
            self._note_fatal(error.args[0])
            self._note_failure(delivery, error.args[0])
            return done
        self._in_flight.add(delivery)
        self._in_flight_bytes += size
        if self._event is None and not self._poll_due:
            self._poll_later()
        return done

    def expire(self, now: float) -> None:
        """Resolve deliveries that are late at `now`, the event loop's time. They still count as in flight."""
        for delivery in [d for d in self._in_flight if d.due <= now and not d.done.done()]:
            self._last_failure, self._latest_error = now, None
            self._count_error("deadline")
            delivery.done.set_result(PublishOutcome.LATE)

    def run_maintenance(self) -> None:
        """Update the gauges, poll an idle producer, and replace a failed one. Call this regularly."""
        self._in_flight_gauge.set(len(self._in_flight))
        self._in_flight_bytes_gauge.set(self._in_flight_bytes)
        self._poll_producer(self._producer)
        if self._fatal is not None and self._loop.time() >= self._replace_at:
            self._replace()

    async def check_health(self) -> tuple[bool, str]:
        """Return whether Kafka would take a body now, and if not, why."""
        now = self._loop.time()
        if self._last_success < self._last_failure > now - FAILURE_MEMORY_S:
            error = self._latest_error
            if error is not None and error.code() == KafkaError.INVALID_TIMESTAMP:
                return False, str(clocks_differ(self._settings, error))
            why = why_unreachable(self._settings)
            return False, f"Kafka does not acknowledge{f' ({why})' if why else ''}"
        try:
            await asyncio.to_thread(self._probe, PROBE_TIMEOUT_S)
        except DependencyError as error:
            return False, str(error)
        return True, ""

    async def close(self, timeout_s: float) -> None:
        """Wait for outstanding acknowledgements, at most `timeout_s` seconds."""
        await asyncio.to_thread(self._producer.flush, timeout_s)

    def _probe(self, timeout_s: float) -> None:
        """Load the topic's metadata. Raises DependencyError if no broker answers or the topic cannot be written to."""
        topic = cluster_metadata(self._settings, self._producer, self._topic, timeout_s, poll=False).topics[self._topic]
        if topic.error is not None:
            raise DependencyError(
                f"the topic {self._topic} is not available ({topic.error.name()}); "
                "`sternpost topics create` creates missing topics"
            )
        if any(partition.leader < 0 for partition in topic.partitions.values()):
            raise DependencyError(f"a partition of {self._topic} has no leader")
        self._partitions = len(topic.partitions)

    def _poll_later(self) -> None:
        self._poll_due = True
        self._loop.call_later(POLL_INTERVAL_S, self._poll)

    def _poll(self) -> None:
        self._poll_due = False
        self._poll_producer(self._producer)
        if self._in_flight:
            self._poll_later()

    def _on_event(self, event: int, producer: Producer) -> None:
        os.eventfd_read(event)
        self._poll_producer(producer)

    def on_delivery_report(self, delivery: _Delivery, error: KafkaError | None) -> None:
        """Resolve a delivery. librdkafka reports each once, in `poll`."""
        self._in_flight.discard(delivery)
        self._in_flight_bytes -= delivery.size
        if error is not None:
            self._note_failure(delivery, error)
            return
        now = self._loop.time()
        self._last_success = now
        self._ack_seconds.observe(now - delivery.begun)
        if not delivery.done.done():
            delivery.done.set_result(PublishOutcome.WRITTEN)
        else:
            self._count_error("late")

    def _note_failure(self, delivery: _Delivery, error: KafkaError) -> None:
        self._last_failure, self._latest_error = self._loop.time(), error
        if not delivery.done.done():
            self._count_error(error.name())
            delivery.done.set_result(PublishOutcome.REFUSED)

    def _count_error(self, name: str) -> None:
        if name not in self._errors:
            self._errors[name] = metrics.INGEST_PRODUCE_ERRORS.labels(name)
        self._errors[name].inc()

    def _poll_producer(self, producer: Producer) -> None:
        """Run the producer's callbacks. Only `poll` reports a fatal error."""
        try:
            producer.poll(0)
        except KafkaException as error:
            self._count_error(error.args[0].name())
            self._note_fatal(error.args[0])

    def _note_fatal(self, error: KafkaError) -> None:
        if error.fatal() or error.code() == KafkaError._FATAL:
            self._last_failure = self._loop.time()
            self._fatal = error.name()

    def _replace(self) -> None:
        """Replace the producer: after a fatal error it never writes again. Bodies that wait in it are answered 503.

        https://github.com/confluentinc/librdkafka/blob/master/INTRODUCTION.md#fatal-producer-errors
        """
        log.error("producer failed for good, making a new one", error=self._fatal)
        self._replace_at = self._loop.time() + REPLACE_INTERVAL_S
        broken, event = [self._producer], self._event
        try:
            fresh = self._connect()
        except (
            ConfigurationError
        ) as error:  # for example, a file named in kafka.properties is missing and may come back
            log.error("no new producer can be made yet", reason=str(error))  # noqa: TRY400 (a message for people)
            return
        self._producer.purge()
        self._poll_producer(self._producer)
        self._fatal = None
        for delivery in list(self._in_flight):  # those that the purge did not report
            self.on_delivery_report(delivery, KafkaError(KafkaError._PURGE_INFLIGHT))
        if event is not None:
            self._loop.remove_reader(event)
            delivery_report_fd.close_fd(self._producer, event)
        self._producer = fresh
        # Dropping the last reference to a producer waits for its threads and connections.
        self._loop.run_in_executor(None, broken.clear)
