"""The way into Kafka: one idempotent producer a worker, whose acknowledgements the event loop waits for.

Bodies gather for one pass of the event loop, and are handed to librdkafka together at its end. A pass takes longer the
more requests it serves, so the batches that go to the brokers grow with the load.

librdkafka's callbacks run inside `Producer.poll`. It is called on the event loop itself, when librdkafka says that
there is something (`ingest.ack_signal`), or else once after each pass and every millisecond while something waits. A
thread that blocks in `poll` would have to win the interpreter's lock back from the loop for every single
acknowledgement.
"""

import asyncio
import os
from collections.abc import Mapping
from enum import Enum
from typing import NamedTuple
from zlib import crc32

import structlog
from confluent_kafka import KafkaError, KafkaException, Message, Producer
from prometheus_client import Counter

from ingest import ack_signal
from runtime import metrics
from runtime.errors import ConfigurationError, DependencyError
from runtime.kafka.admin import cluster_metadata
from runtime.kafka.clients import make_producer
from runtime.kafka.errors import why_unreachable
from runtime.settings.model import Settings

log = structlog.get_logger()

Headers = list[tuple[str, str | bytes | None]]

POLL_INTERVAL_S = 0.001
WARM_UP_TIMEOUT_S = 10.0
PROBE_TIMEOUT_S = 2.0
REPLACE_INTERVAL_S = 5.0
"""Between a producer that failed for good and the next: brokers that refuse one may refuse the next, too."""

FAILURE_MEMORY_S = 5.0
"""So long after a failure that no success followed, Kafka counts as out of order."""

DEFAULTS: Mapping[str, object] = {
    "linger.ms": 0.1,  # so that all bodies of a pass are there when the first is sent: docs/performance.md
    "compression.type": "none",  # lz4 saves little on batches of a few webhooks, and a webhook costs 7 to 15 % more
    "partitioner": "murmur2_random",  # as Java clients have it: whoever else writes a person's bodies, they meet
    "reconnect.backoff.ms": 50,
    "reconnect.backoff.max.ms": 1_000,
    "enable.sparse.connections": False,  # connect to all brokers at once, not when the first webhook wants one
}
"""What `kafka.properties` may set otherwise."""


class Outcome(Enum):
    """What became of a body that was published."""

    WRITTEN = "written"
    REFUSED = "refused"
    FULL = "full"
    """librdkafka's queue is."""
    LATE = "late"


class TooManyInFlightError(Exception):
    """As much as may wait for acknowledgements is waiting."""


class _Delivery:
    """A body that waits to be acknowledged; librdkafka calls it with the delivery report."""

    __slots__ = ("begun", "done", "due", "publisher", "size")

    def __init__(self, publisher: "Publisher", done: asyncio.Future[Outcome], size: int, begun: float, due: float):
        self.publisher = publisher
        self.done = done
        self.size = size
        self.begun = begun
        self.due = due

    def __call__(self, error: KafkaError | None, _message: Message) -> None:
        self.publisher._reported(self, error)


class _Gathered(NamedTuple):
    """A body that is not yet handed to librdkafka."""

    delivery: _Delivery
    key: str | None
    value: bytes
    partition: int
    headers: Headers
    timestamp_ms: int


def new_producer(settings: Settings) -> Producer:
    """The producer of one worker. Raises ConfigurationError."""
    ingest = settings.ingest
    queue = {
        "queue.buffering.max.messages": ingest.max_in_flight_requests,
        "queue.buffering.max.kbytes": min(2 * ingest.max_in_flight_bytes // 1024 + 1, 2_097_151),
    }
    # A body not written by the deadline was answered 503 and will be sent again: no use in trying on.
    deadline = {"message.timeout.ms": ingest.produce_deadline_ms}
    return make_producer(settings, deadline, {**DEFAULTS, **queue})


class Publisher:
    """Writes bodies to the raw topic. All methods are for the event loop's thread."""

    def __init__(self, settings: Settings) -> None:
        ingest = settings.ingest
        self._settings = settings
        self._topic = settings.topics.raw
        self._most_requests = ingest.max_in_flight_requests
        self._most_bytes = ingest.max_in_flight_bytes
        self._loop = asyncio.get_running_loop()
        self._gathered: list[_Gathered] = []
        """In this pass of the event loop."""
        self._waiting: set[_Delivery] = set()
        self._bytes = 0
        self._poll_due = self._timer_due = False
        self._last_success = self._last_failure = float("-inf")
        self._fatal: str | None = None
        self._replace_at = float("-inf")
        self._errors: dict[str, Counter] = {}
        self._ack_seconds = metrics.buffered_histogram(metrics.INGEST_ACK_SECONDS)
        self._in_flight = metrics.INGEST_IN_FLIGHT.labels()
        self._in_flight_bytes = metrics.INGEST_IN_FLIGHT_BYTES.labels()
        self._partitions = 0
        """Of the topic; 0 until it is known."""
        self._producer = self._connect()

    def _connect(self) -> Producer:
        producer = new_producer(self._settings)
        self._event = ack_signal.descriptor(producer)
        """Where librdkafka says that there is something to poll for, if it does."""
        if self._event is not None:
            self._loop.add_reader(self._event, self._acknowledged, self._event, producer)
        return producer

    async def warm_up(self) -> None:
        """Connect and learn the topic, so that the first webhook does not wait for it.

        Raises DependencyError where the topic is not there or no broker answers.
        """
        await asyncio.to_thread(self._probe, WARM_UP_TIMEOUT_S)

    def publish(
        self,
        key: str | None,
        value: bytes,
        headers: Headers,
        timestamp_ms: int,
        due: float,
    ) -> asyncio.Future[Outcome]:
        """Write a body to the raw topic. `due` is the loop's time at which it is late.

        Raises TooManyInFlightError if the bounds are reached.
        """
        size = len(value)
        if len(self._waiting) >= self._most_requests or self._bytes + size > self._most_bytes:
            raise TooManyInFlightError
        done: asyncio.Future[Outcome] = self._loop.create_future()
        delivery = _Delivery(self, done, size, self._loop.time(), due)
        # Without a key, the same bytes go to the same partition: only there are they found out as sent again.
        partition = crc32(value) % self._partitions if key is None and self._partitions else -1
        if not self._gathered:
            self._loop.call_soon(self._hand_over)
        self._gathered.append(_Gathered(delivery, key, value, partition, headers, timestamp_ms))
        self._waiting.add(delivery)
        self._bytes += size
        return done

    def expire(self, now: float) -> None:
        """Give up waiting for what was due before `now`, the loop's time. It still counts as in flight."""
        for delivery in [d for d in self._waiting if d.due <= now and not d.done.done()]:
            self._last_failure = now
            self._count_error("deadline")
            delivery.done.set_result(Outcome.LATE)

    def tend(self) -> None:
        """What is to be done every now and then: gauges, events of an idle producer, a broken producer."""
        self._in_flight.set(len(self._waiting))
        self._in_flight_bytes.set(self._bytes)
        self._serve(self._producer)
        if self._fatal is not None and self._loop.time() >= self._replace_at:
            self._replace()

    async def healthy(self) -> tuple[bool, str]:
        """Whether Kafka would take a body now, and if not, why."""
        now = self._loop.time()
        if self._last_success < self._last_failure > now - FAILURE_MEMORY_S:
            why = why_unreachable(self._settings)
            return False, f"Kafka does not acknowledge{f' ({why})' if why else ''}"
        try:
            await asyncio.to_thread(self._probe, PROBE_TIMEOUT_S)
        except DependencyError as error:
            return False, str(error)
        return True, ""

    async def close(self, timeout_s: float) -> None:
        """Wait for the last acknowledgements."""
        self._hand_over()
        await asyncio.to_thread(self._producer.flush, timeout_s)

    def _probe(self, timeout_s: float) -> None:
        """Raises DependencyError if no broker answers or the topic cannot be written to."""
        topic = cluster_metadata(self._settings, self._producer, self._topic, timeout_s, poll=False).topics[self._topic]
        if topic.error is not None:
            raise DependencyError(
                f"the topic {self._topic} is not to be had ({topic.error.name()}); "
                "`sternpost topics create` makes what is missing"
            )
        if any(partition.leader < 0 for partition in topic.partitions.values()):
            raise DependencyError(f"a partition of {self._topic} has no leader")
        self._partitions = len(topic.partitions)

    def _hand_over(self) -> None:
        """Produce what has gathered."""
        gathered, self._gathered = self._gathered, []
        produce, topic = self._producer.produce, self._topic
        for delivery, key, value, partition, headers, timestamp_ms in gathered:
            try:
                produce(topic, value, key, partition, delivery, timestamp=timestamp_ms, headers=headers)
            except BufferError:
                self._forget(delivery)
                if not delivery.done.done():
                    delivery.done.set_result(Outcome.FULL)
            except KafkaException as error:
                self._note_fatal(error.args[0])
                self._reported(delivery, error.args[0])
        if gathered and self._event is None and not self._poll_due:
            self._poll_due = True
            self._loop.call_soon(self._poll)

    def _poll(self) -> None:
        self._poll_due = False
        self._serve(self._producer)
        if self._waiting and not self._timer_due:
            self._timer_due = True
            self._loop.call_later(POLL_INTERVAL_S, self._tick)

    def _acknowledged(self, event: int, producer: Producer) -> None:
        os.eventfd_read(event)
        self._serve(producer)

    def _tick(self) -> None:
        self._timer_due = False
        self._poll()

    def _forget(self, delivery: _Delivery) -> None:
        self._waiting.discard(delivery)
        self._bytes -= delivery.size

    def _reported(self, delivery: _Delivery, error: KafkaError | None) -> None:
        self._forget(delivery)
        now = self._loop.time()
        if error is None:
            self._last_success = now
            self._ack_seconds.observe(now - delivery.begun)
            if not delivery.done.done():
                delivery.done.set_result(Outcome.WRITTEN)
            else:
                self._count_error("late")
            return
        self._last_failure = now
        if not delivery.done.done():
            self._count_error(error.name())
            delivery.done.set_result(Outcome.REFUSED)

    def _count_error(self, name: str) -> None:
        if name not in self._errors:
            self._errors[name] = metrics.INGEST_PRODUCE_ERRORS.labels(name)
        self._errors[name].inc()

    def _serve(self, producer: Producer) -> None:
        """Takes what the producer has to report. A fatal error comes out of `poll`, and is not told otherwise."""
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
        """A producer after a fatal error never writes again; what waits in it is answered 503, and a new one begins."""
        log.error("producer failed for good, making a new one", error=self._fatal)
        self._replace_at = self._loop.time() + REPLACE_INTERVAL_S
        broken, event = [self._producer], self._event
        try:
            fresh = self._connect()
        except ConfigurationError as error:  # a file that kafka.properties name is gone: it may come back
            log.error("no new producer can be made yet", reason=str(error))  # noqa: TRY400 (a message for people)
            return
        self._hand_over()  # to the old one, which refuses it
        self._producer.purge()
        self._serve(self._producer)
        self._fatal = None
        for delivery in list(self._waiting):  # had it been purged, it would have been reported
            self._reported(delivery, KafkaError(KafkaError._PURGE_INFLIGHT))
        if event is not None:
            self._loop.remove_reader(event)
        self._producer = fresh
        self._loop.run_in_executor(None, _end, broken, event)


def _end(producer: list[Producer], event: int | None) -> None:
    """Takes the last reference to a producer, whose threads and connections are waited for, and its descriptor."""
    producer.clear()
    if event is not None:
        os.close(event)
