"""Brings the deduplication state of a partition up to an offset, by reading the raw topic itself."""

import time
from collections.abc import Callable

import structlog
from confluent_kafka import Consumer, KafkaException, Message, TopicPartition

from processor.deduplication import Deduplicator
from processor.identification import identify
from processor.records import RawRecord
from processor.state import DISORDER_MS
from runtime import metrics
from runtime.kafka import consumer_config
from runtime.settings import Settings

log = structlog.get_logger()

CHUNK = 20_000
"""Records that go into the state at a time."""

CALL_S = 30.0
PROGRESS_S = 5.0


class CatchUp:
    """Reads with a consumer of its own, outside of the group."""

    def __init__(self, settings: Settings, deduplicator: Deduplicator) -> None:
        self._settings = settings
        self._topic = settings.topics.raw
        self._window_ms = settings.processor.dedup_window_s * 1000
        self._deduplicator = deduplicator

    def run(self, partition: int, position: int, keep_alive: Callable[[int], bool]) -> bool:
        """Has the partition's state know all records of one window before `position`; whether that was finished.

        `keep_alive` is called with the partition every now and then, and says whether to go on. Raises KafkaException
        where the topic cannot be read, and StateError.
        """
        if not self._window_ms or self._deduplicator.complete_up_to(partition) >= position:
            return True
        consumer = Consumer(
            consumer_config(self._settings, **{"group.id": "sternpost-catch-up", "queued.max.messages.kbytes": 65_536})
        )
        try:
            start = max(self._deduplicator.complete_up_to(partition), self._window_start(consumer, partition, position))
            return start >= position or self._read(consumer, partition, start, position, keep_alive)
        finally:
            consumer.close()

    def _read(
        self, consumer: Consumer, partition: int, start: int, position: int, keep_alive: Callable[[int], bool]
    ) -> bool:
        log.info("catching up", partition=partition, records=position - start)
        begun = said = time.monotonic()
        done = metrics.PROCESSOR_CAUGHT_UP.labels()
        consumer.assign([TopicPartition(self._topic, partition, start)])
        at = start
        while at < position:
            if not keep_alive(partition):
                return False
            messages = [message for message in consumer.consume(CHUNK, 0.2) if _good(message)]
            records = [
                RawRecord(
                    self._topic,
                    partition,
                    message.offset() or 0,
                    message.timestamp()[1],
                    message.key(),
                    message.value(),
                    message.headers() or [],  # type: ignore[arg-type]
                )
                for message in messages
                if (message.offset() or 0) < position
            ]
            if records:
                self._deduplicator.first_offsets(records, [identify(record).key for record in records])
            # Offsets have gaps, where aborted records and transactions' marks are: where the reader is, counts.
            (reached,) = consumer.position([TopicPartition(self._topic, partition)])
            if reached.offset > at or records:
                at = min(max(at, reached.offset), position)
                self._deduplicator.seal({partition: at})
                self._deduplicator.settle()
                done.inc(len(records))
            elif consumer.get_watermark_offsets(TopicPartition(self._topic, partition), timeout=CALL_S)[1] <= at:
                break  # what lies between here and `position` is no records
            if time.monotonic() - said > PROGRESS_S:
                said = time.monotonic()
                log.info("catching up", partition=partition, done=at - start, of=position - start)
        log.info("caught up", partition=partition, records=at - start, seconds=round(time.monotonic() - begun, 1))
        return True

    def _window_start(self, consumer: Consumer, partition: int, position: int) -> int:
        """The first offset that a record at `position` or later could be a duplicate of."""
        low, high = consumer.get_watermark_offsets(TopicPartition(self._topic, partition), timeout=CALL_S)
        now_ms = time.time_ns() // 1_000_000
        next_ms = min(now_ms, self._timestamp(consumer, partition, position)) if position < high else now_ms
        oldest_ms = next_ms - self._window_ms - DISORDER_MS
        if oldest_ms <= 0:
            return int(low)
        (found,) = consumer.offsets_for_times([TopicPartition(self._topic, partition, oldest_ms)], timeout=CALL_S)
        if found.error is not None:
            raise KafkaException(found.error)
        return int(found.offset) if found.offset >= 0 else position

    def _timestamp(self, consumer: Consumer, partition: int, offset: int) -> int:
        """Of the record at an offset, or of the next; now, where there is none."""
        consumer.assign([TopicPartition(self._topic, partition, offset)])
        message = consumer.poll(1.0)
        consumer.unassign()
        if message is None or not _good(message):
            return time.time_ns() // 1_000_000
        return int(message.timestamp()[1])


def _good(message: Message) -> bool:
    error = message.error()
    if error is not None and not error.retriable():
        raise KafkaException(error)
    return error is None
