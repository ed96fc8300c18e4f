"""Restores the deduplication state of partitions up to the committed offsets by reading the raw topic again.

The stream processor polls the restore between its own polls, so that other partitions are not delayed. A restore
processes the records without producing outcomes: the state ends as if this worker had always had the partition.

`StateRestore` knows nothing of Kafka; `KafkaRestoreConsumer` reads the records for it.
"""

import time
from dataclasses import dataclass

import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from processor.deduplication.deduplicator import Deduplicator
from processor.deduplication.state_store import DISORDER_MS
from processor.interfaces import RestoreConsumer
from processor.pipeline.records import RawRecord, identify
from runtime import metrics
from runtime.errors import ClientUnusableError
from runtime.kafka.clients import make_consumer
from runtime.kafka.errors import TRANSIENT_ERRORS
from runtime.kafka.message_headers import headers_of
from runtime.settings.model import Settings

log = structlog.get_logger()

PROGRESS_INTERVAL_S = 5.0
POLL_TIMEOUT_S = 0.1
"""How long one poll waits for records."""

CHUNK = 10_000
"""The number of records read at a time."""

TIMEOUT_S = 30.0

_NOWHERE = 1 << 63


@dataclass
class _Progress:
    position: int
    first: int
    begun: float
    logged: float
    records: int = 0


class StateRestore:
    """Restores the state of the partitions of one worker."""

    def __init__(self, deduplicator: Deduplicator, consumer: RestoreConsumer) -> None:
        """Restore the states of `deduplicator` from the records that `consumer` reads."""
        self._deduplicator = deduplicator
        self._consumer = consumer
        self._progress: dict[int, _Progress] = {}

    @property
    def partitions(self) -> frozenset[int]:
        """The partitions whose restore is under way."""
        return frozenset(self._progress)

    def start(self, partition: int, position: int) -> bool:
        """Return whether a partition's state is complete up to `position`; if it is not, start to restore it.

        Raises ClientUnusableError.
        """
        self.cancel(partition)
        known = self._deduplicator.next_offset(partition)
        if known == position:
            return True
        first = self._consumer.start(partition, known, position)
        now = time.monotonic()
        self._progress[partition] = _Progress(position, first, now, now)
        log.info("catching up", partition=partition, records=position - first)
        return False

    def poll(self) -> list[int]:
        """Read some records, and return the partitions whose restore is now complete.

        Raises ClientUnusableError and StateError.
        """
        records, done = self._consumer.read(POLL_TIMEOUT_S)
        if records:
            self._deduplicator.find_duplicates(records, [identify(record).key for record in records])
            metrics.PROCESSOR_CAUGHT_UP.labels().inc(len(records))
        reached = {record.partition: record.offset + 1 for record in records}
        reached |= {partition: self._progress[partition].position for partition in done}
        self._deduplicator.prepare_commit(reached)
        self._deduplicator.commit(reached)
        for record in records:
            self._progress[record.partition].records += 1
        for partition, progress in list(self._progress.items()):
            self._log_progress(partition, progress, partition in done)
        for partition in done:
            del self._progress[partition]
        return done

    def cancel(self, partition: int) -> None:
        """Stop restoring a partition, if it is being restored."""
        if self._progress.pop(partition, None) is not None:
            self._consumer.stop(partition)

    def close(self) -> None:
        """Stop all restores and close the consumer."""
        self._progress.clear()
        self._consumer.close()

    def _log_progress(self, partition: int, progress: _Progress, done: bool) -> None:
        now = time.monotonic()
        if done:
            seconds = round(now - progress.begun, 1)
            log.info("caught up", partition=partition, records=progress.records, seconds=seconds)
        elif now - progress.logged >= PROGRESS_INTERVAL_S:
            progress.logged = now
            of = progress.position - progress.first
            log.info("catching up", partition=partition, done=progress.records, of=of)


class KafkaRestoreConsumer:
    """A `RestoreConsumer` on librdkafka: connects when first needed, and disconnects when nothing is being read."""

    def __init__(self, settings: Settings) -> None:
        """Read the topic and use the window that the settings name."""
        self._settings = settings
        self._topic = settings.topics.raw
        self._window_ms = settings.processor.dedup_window_s * 1000
        self._reading: dict[int, int] = {}
        """Partition → the position to read up to."""
        self._consumer: Consumer | None = None

    def start(self, partition: int, known_up_to: int, position: int) -> int:
        """Start reading a partition; see `RestoreConsumer`."""
        try:
            reader = self._connected()
            low, high = reader.get_watermark_offsets(TopicPartition(self._topic, partition), timeout=TIMEOUT_S)
            start = max(low, known_up_to)
            if start < position:
                start = max(start, self._window_start(partition, position, low, high))
            reader.incremental_assign([TopicPartition(self._topic, partition, start)])
        except KafkaException as error:
            raise ClientUnusableError(error.args[0].name()) from error
        self._reading[partition] = position
        return min(start, position)

    def read(self, timeout_s: float) -> tuple[list[RawRecord], list[int]]:
        """Return some records, and the partitions that are done; see `RestoreConsumer`."""
        records: list[RawRecord] = []
        done: list[int] = []
        reading = self._reading
        for message in self._connected().consume(CHUNK, timeout_s):
            error = message.error()
            if error is not None and error.code() != KafkaError._PARTITION_EOF:
                if error.code() not in TRANSIENT_ERRORS:
                    raise ClientUnusableError(error.name())
                continue
            partition: int = message.partition()  # type: ignore[assignment]
            offset: int = message.offset()  # type: ignore[assignment]
            if offset >= reading.get(partition, _NOWHERE):
                self.stop(partition)
                done.append(partition)
            elif error is None and partition in reading:
                at_ms = message.timestamp()[1]
                headers = headers_of(message)
                records.append(RawRecord(self._topic, partition, offset, at_ms, None, message.value(), headers))
        return records, done

    def stop(self, partition: int) -> None:
        """Stop reading a partition, if it is being read."""
        if self._reading.pop(partition, None) is not None and self._consumer is not None:
            self._consumer.incremental_unassign([TopicPartition(self._topic, partition)])
            if not self._reading:
                self.close()

    def close(self) -> None:
        """Stop reading all partitions and disconnect."""
        self._reading.clear()
        if self._consumer is not None:
            self._consumer.close()
            self._consumer = None

    def _window_start(self, partition: int, position: int, low: int, high: int) -> int:
        """Return the first offset that a record at `position` or later could be a duplicate of.

        What comes next is dated no earlier than what is there. This machine's clock alone does not tell: if it is
        ahead, the window would begin too late.
        """
        now_ms = time.time_ns() // 1_000_000
        next_ms = self._timestamp(partition, position) if position < high else None
        if next_ms is None:
            next_ms = self._newest_timestamp(partition, low, high)
        oldest_ms = min(now_ms, next_ms or now_ms) - self._window_ms - DISORDER_MS
        if oldest_ms <= 0:
            return 0
        asked = [TopicPartition(self._topic, partition, oldest_ms)]
        (found,) = self._connected().offsets_for_times(asked, timeout=TIMEOUT_S)
        if found.error is not None:
            raise KafkaException(found.error)
        return int(found.offset) if found.offset >= 0 else position

    def _newest_timestamp(self, partition: int, low: int, high: int) -> int | None:
        """Return the timestamp of one of the last records, in Unix milliseconds, or None if there is no record.

        The very last offsets may be transaction markers or aborted records.
        """
        offset, back = high, 1
        while offset > low:
            offset, back = max(low, high - back), 10 * back
            if (found := self._timestamp(partition, offset)) is not None:
                return found
        return None

    def _timestamp(self, partition: int, offset: int) -> int | None:
        """Return the timestamp of the first record from `offset` on, in Unix milliseconds, or None if there is none."""
        with self._make_consumer() as reader:
            reader.assign([TopicPartition(self._topic, partition, offset)])
            deadline = time.monotonic() + TIMEOUT_S
            while time.monotonic() < deadline:
                message = reader.poll(1.0)
                if message is None:
                    continue
                error = message.error()
                if error is None:
                    return int(message.timestamp()[1])
                if error.code() == KafkaError._PARTITION_EOF:
                    return None
                if error.code() not in TRANSIENT_ERRORS:
                    break
        raise ClientUnusableError(f"the record at {self._topic}[{partition}]@{offset} cannot be read")

    def _connected(self) -> Consumer:
        if self._consumer is None:
            self._consumer = self._make_consumer()
        return self._consumer

    def _make_consumer(self) -> Consumer:
        return make_consumer(
            self._settings,
            {
                # librdkafka requires a name; the group is never joined.
                "group.id": f"{self._settings.processor.group_id}.catch-up",
                "enable.partition.eof": True,
            },
            {
                "queued.min.messages": 5 * CHUNK,
                "queued.max.messages.kbytes": 65_536,
                "fetch.wait.max.ms": 10,  # an empty fetch blocks later requests on its connection
                "fetch.queue.backoff.ms": 10,
            },
        )
