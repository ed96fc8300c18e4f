"""Reads the raw topic again on Kafka: implements `interfaces.RestoreConsumer`."""

import time

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from processor.deduplication.state_store import DISORDER_MS
from processor.pipeline.records import Headers, RawRecord
from runtime.errors import ClientUnusableError
from runtime.kafka.clients import make_consumer
from runtime.kafka.errors import PASSING_ERRORS
from runtime.settings.model import Settings

CHUNK = 10_000
"""The number of records read at a time."""

TIMEOUT_S = 30.0

_NOWHERE = 1 << 63


class KafkaRestoreConsumer:
    """Connects when it is first needed, and disconnects when nothing is being read."""

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
                start = max(start, self._window_start(partition, position, high))
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
                if error.code() not in PASSING_ERRORS:
                    raise ClientUnusableError(error.name())
                continue
            partition: int = message.partition()  # type: ignore[assignment]
            offset: int = message.offset()  # type: ignore[assignment]
            if offset >= reading.get(partition, _NOWHERE):
                self.stop(partition)
                done.append(partition)
            elif error is None and partition in reading:
                at_ms = message.timestamp()[1]
                of_record: Headers = message.headers() or []  # type: ignore[assignment]
                records.append(RawRecord(self._topic, partition, offset, at_ms, None, message.value(), of_record))
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

    def _window_start(self, partition: int, position: int, high: int) -> int:
        """Return the first offset that a record at `position` or later could be a duplicate of."""
        now_ms = time.time_ns() // 1_000_000
        next_ms = self._timestamp(partition, position) if position < high else None
        oldest_ms = min(now_ms, next_ms or now_ms) - self._window_ms - DISORDER_MS
        if oldest_ms <= 0:
            return 0
        asked = [TopicPartition(self._topic, partition, oldest_ms)]
        (found,) = self._connected().offsets_for_times(asked, timeout=TIMEOUT_S)
        if found.error is not None:
            raise KafkaException(found.error)
        return int(found.offset) if found.offset >= 0 else position

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
                if error.code() not in PASSING_ERRORS:
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
