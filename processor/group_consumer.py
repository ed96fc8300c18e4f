"""A member of the consumer group, on Kafka: see `transport.Source`.

Membership is static: a worker that restarts within the session time-out comes back to its partitions, and nobody else
stops for it. Assignment is cooperative: only partitions that move are stopped.
"""

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from processor.interfaces import RebalanceListener
from processor.messages import raw_records
from processor.offset_reset import how_to_reset
from processor.pipeline.records import RawRecord
from processor.unassigned_partitions import UnassignedPartitions
from runtime import metrics
from runtime.errors import ClientUnusableError, InstanceFencedError, ProcessorHaltedError
from runtime.kafka.clients import make_consumer
from runtime.kafka.config import record_limits
from runtime.kafka.errors import AUTHORIZATION_ERRORS, access_denied
from runtime.settings.model import Settings

log = structlog.get_logger()

CHUNK = 1_000
"""Records taken at a time; between two, the batch's bytes are counted."""

GATHER_TIMEOUT_S = 0.005
"""Where records can be gathered, how long a slice is waited for."""

FETCH_BYTES = 8 << 20
"""Of one answer, compressed: dozens of partitions would fetch a megabyte each at a time, and then decompress it."""

TIMEOUT_S = 30.0

LAG_TIMEOUT_S = 0.5
"""Longest that a lag is waited for."""

_FENCED = KafkaError(KafkaError.FENCED_INSTANCE_ID).str()
_OUT_OF_RANGE = frozenset({KafkaError._AUTO_OFFSET_RESET, KafkaError._LOG_TRUNCATION})


class KafkaGroupConsumer:
    def __init__(self, settings: Settings, instance_id: str, listener: RebalanceListener) -> None:
        processor = settings.processor
        self._settings = settings
        self._topic = settings.topics.raw
        self._max_records, self._max_bytes = processor.batch_max_records, processor.batch_max_bytes
        self._listener = listener
        self.is_member = False
        self._without_offset: set[int] = set()
        self._buffered: list[Message] = []
        """The batch that `poll` is putting together."""
        self._consumer = make_consumer(
            settings,
            {
                "group.id": processor.group_id,
                "group.instance.id": instance_id,
                "session.timeout.ms": processor.session_timeout_ms,
                "max.poll.interval.ms": processor.max_poll_interval_ms,
                "partition.assignment.strategy": "cooperative-sticky",
                # What to do where an offset does not exist is decided in `committed`, and not without a word.
                "auto.offset.reset": "error",
                "fetch.max.bytes": max(FETCH_BYTES, record_limits(settings).raw),
            },
            {
                # A member hears of a rebalance by its heartbeats, and a cooperative one takes two.
                "heartbeat.interval.ms": 1_000,
                "fetch.wait.max.ms": 50,
                "fetch.error.backoff.ms": 100,
                "fetch.queue.backoff.ms": 10,
                "queued.min.messages": 2 * processor.batch_max_records,
                "queued.max.messages.kbytes": max(16_384, 2 * processor.batch_max_bytes // 1024),
            },
        )
        self._unassigned = UnassignedPartitions(settings)
        self._as_pattern = False
        self._subscribe()

    def poll(self, timeout_s: float, gather: Callable[[], bool]) -> list[RawRecord]:
        with _translate_errors():
            if partitions := self._unassigned.take_result():
                log.warning("partitions without a member, having the group rebalance", partitions=partitions)
                self._as_pattern = not self._as_pattern
                self._subscribe()
                self._unassigned.schedule_check()
            self._buffered = self._consumer.consume(1, timeout_s)
            size = sum(map(len, self._buffered))
            while self._buffered and len(self._buffered) < self._max_records and size < self._max_bytes:
                waiting = gather()
                room = min(CHUNK, self._max_records - len(self._buffered))
                more = self._consumer.consume(room, GATHER_TIMEOUT_S if waiting else 0.0)
                if not more and not waiting:
                    break
                self._buffered += more
                size += sum(map(len, more))
        messages, self._buffered = self._buffered, []
        records, errors = raw_records(self._topic, messages)
        for error in errors:
            if (fatal := self._fatal_error(error)) is not None:
                raise fatal
            if error.code() == KafkaError._MAX_POLL_EXCEEDED:
                self.is_member = False
            log.warning("consumer error", error=error.name())
        return records

    def committed(self, partitions: Collection[int]) -> dict[int, int]:
        asked = [TopicPartition(self._topic, partition) for partition in partitions]
        if not asked:
            return {}
        with _translate_errors():
            # Read committed: brokers answer once no transaction holds an offset that may yet become the group's.
            answered = self._consumer.committed(asked, timeout=TIMEOUT_S)
            ends = [self._consumer.get_watermark_offsets(tp, timeout=TIMEOUT_S) for tp in asked]
        for tp in answered:
            if tp.error is not None:
                raise ClientUnusableError(tp.error.name())
        self._without_offset -= set(partitions)
        self._without_offset |= {tp.partition for tp in answered if tp.offset < 0}
        return {tp.partition: self._position(tp, low, high) for tp, (low, high) in zip(answered, ends, strict=True)}

    def has_offset(self, partition: int) -> bool:
        return partition not in self._without_offset

    def _position(self, committed: TopicPartition, low: int, high: int) -> int:
        if committed.offset < 0:
            return low  # the group is new to it
        if committed.offset > high:
            raise ProcessorHaltedError(
                f"the group is at offset {committed.offset} of {self._topic}[{committed.partition}], which ends at "
                f"{high}: the brokers lost records, or the topic was made anew. To set "
                f"the group's offset to what is to be processed next, {how_to_reset('--to-offset …')}"
            )
        if committed.offset < low:
            metrics.PROCESSOR_EXPIRED.labels().inc(low - committed.offset)
            log.error("records expired before they were processed", partition=committed.partition,
                      first=committed.offset, last=low - 1)  # fmt: skip
        return max(committed.offset, low)

    def rewind(self, positions: Mapping[int, int]) -> None:
        moved = [TopicPartition(self._topic, partition, offset) for partition, offset in positions.items()]
        with _translate_errors():
            # Rather than seek: it drops what was fetched, whatever state the fetcher is in.
            self._consumer.incremental_unassign(moved)
            self._consumer.incremental_assign(moved)
            self._consumer.pause(moved)

    def pause(self, partitions: Collection[int]) -> None:
        with _translate_errors():
            self._consumer.pause([TopicPartition(self._topic, partition) for partition in partitions])

    def resume(self, partitions: Collection[int]) -> None:
        with _translate_errors():
            self._consumer.resume([TopicPartition(self._topic, partition) for partition in partitions])

    def group_metadata(self) -> Any:
        with _translate_errors():
            return self._consumer.consumer_group_metadata()

    def positions(self, partitions: Collection[int]) -> dict[int, int]:
        asked = [TopicPartition(self._topic, partition) for partition in partitions]
        with _translate_errors():
            return {tp.partition: tp.offset for tp in self._consumer.position(asked) if tp.offset >= 0}

    def lag(self, partitions: Collection[int]) -> dict[int, int]:
        behind = {}
        asking = True
        with _translate_errors():
            for tp in self._consumer.position([TopicPartition(self._topic, partition) for partition in partitions]):
                _, end = self._consumer.get_watermark_offsets(tp, cached=True)
                if tp.offset >= 0 and end > tp.offset and asking:
                    # What came with the records is the high watermark; asked for, it is the last stable offset.
                    try:
                        _, end = self._consumer.get_watermark_offsets(tp, timeout=LAG_TIMEOUT_S)
                    except KafkaException:
                        asking = False  # a broker that is slow now must not hold up what is to be processed
                if tp.offset >= 0 and end >= 0:
                    behind[tp.partition] = max(0, end - tp.offset)
        return behind

    def close(self) -> None:
        """Partitions go to others once the session times out, or come back to a restart before that."""
        self._consumer.close()

    def _subscribe(self) -> None:
        """librdkafka joins anew where the subscription's text has changed, be its meaning the same."""
        subscription = f"^{re.escape(self._topic)}$" if self._as_pattern else self._topic
        self._consumer.subscribe([subscription], on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._lost)

    def _fatal_error(self, error: KafkaError) -> Exception | None:
        """Return the exception to raise for an error that `poll` gave, or None if librdkafka recovers by itself."""
        code = error.code()
        # An error that is fatal to a consumer is reported once, as _FATAL, with the reason only in its text.
        if code == KafkaError.FENCED_INSTANCE_ID or (code == KafkaError._FATAL and _FENCED in error.str()):
            return InstanceFencedError(error.str())
        if code in AUTHORIZATION_ERRORS:
            return access_denied(self._settings, error, f"read {self._topic}")
        if error.fatal() or code == KafkaError._FATAL or code in _OUT_OF_RANGE:
            return ClientUnusableError(error.name())
        return None

    def _assigned(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        positions = self.committed([tp.partition for tp in partitions])
        consumer.incremental_assign([TopicPartition(self._topic, p, offset) for p, offset in positions.items()])
        consumer.pause(partitions)
        self.is_member = True
        self._listener.assigned(positions)
        self._unassigned.schedule_check()

    def _revoked(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._listener.revoked(self._drop_buffered(partitions))
        consumer.incremental_unassign(partitions)

    def _lost(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self.is_member = False
        self._listener.lost(self._drop_buffered(partitions))
        consumer.incremental_unassign(partitions)

    def _drop_buffered(self, partitions: list[TopicPartition]) -> Sequence[int]:
        """Drops what was gathered of partitions that go: should one come back within the same poll, another member may
        have processed its records meanwhile."""
        gone = [tp.partition for tp in partitions]
        self._buffered = [message for message in self._buffered if message.partition() not in gone]
        return gone


@contextmanager
def _translate_errors() -> Iterator[None]:
    """What librdkafka raises of no record's fault leaves the membership of no use. Raises ClientUnusableError."""
    try:
        yield
    except KafkaException as error:
        raise ClientUnusableError(error.args[0].name()) from error
