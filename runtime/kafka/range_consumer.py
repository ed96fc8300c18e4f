"""Reads topics outside of any consumer group: committed records only, and nothing changes by it."""

import time
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from runtime.errors import DependencyError
from runtime.kafka.admin import KafkaAdmin, cluster_metadata
from runtime.kafka.clients import make_consumer
from runtime.kafka.errors import unreachable
from runtime.kafka.retry import gather_results
from runtime.settings.model import Settings

if TYPE_CHECKING:
    from confluent_kafka import Message
    from confluent_kafka.admin import ClusterMetadata

FROM_BEGINNING, FROM_END = -2, -1
"""librdkafka's logical offsets."""

POLL_S = 0.2
BATCH = 5_000


class OffsetRange(NamedTuple):
    """A stretch of one partition."""

    partition: int
    start: int
    """Its first offset."""
    end: int
    """The offset behind its last."""

    @property
    def offsets(self) -> int:
        """How many offsets; records are fewer where transactions left their markers."""
        return max(0, self.end - self.start)


def read(
    settings: Settings, topic: str, *, start: int = FROM_BEGINNING, follow: bool = False, idle_s: float | None = None
) -> Iterator["Message"]:
    """The topic's committed records, partitions interleaved, each partition in order.

    `start`: FROM_BEGINNING or FROM_END. Without `follow` it ends with the last record that was committed when it came
    there; with it, it goes on until `idle_s` seconds pass without a record, or for ever.

    Raises DependencyError where no broker answers or the topic is missing.
    """
    from confluent_kafka import KafkaError, KafkaException, TopicPartition

    consumer = make_consumer(settings, {"group.id": "sternpost-reader", "enable.partition.eof": not follow})
    try:
        partitions = _partitions(settings, cluster_metadata(settings, consumer, topic), topic)
        consumer.assign([TopicPartition(topic, partition, start) for partition in partitions])
        at_end: set[int] = set()
        last = time.monotonic()
        while len(at_end) < len(partitions):
            message = consumer.poll(POLL_S)
            if message is None:
                if follow and idle_s is not None and time.monotonic() - last > idle_s:
                    return
                continue
            error = message.error()
            if error is None:
                last = time.monotonic()
                yield message
            elif error.code() == KafkaError._PARTITION_EOF:
                at_end.add(message.partition() or 0)
            elif not error.retriable():
                raise unreachable(settings, KafkaException(error))
    finally:
        consumer.close()


def readable_ranges(settings: Settings, topic: str, partitions: Iterable[int] | None = None) -> list[OffsetRange]:
    """What each partition holds: from the oldest offset kept to the last stable one.

    Raises DependencyError where no broker answers, the topic is missing, or has not all of `partitions`.
    """
    found = topic_partitions(settings, topic)
    wanted = found if partitions is None else sorted(set(partitions))
    if missing := set(wanted) - set(found):
        raise DependencyError(f"{topic} has partitions 0 to {len(found) - 1}, and no {min(missing)}")
    starts = offsets(settings, topic, dict.fromkeys(wanted, FROM_BEGINNING))
    ends = offsets(settings, topic, dict.fromkeys(wanted, FROM_END))
    return [OffsetRange(partition, starts[partition], ends[partition]) for partition in wanted]


def topic_partitions(settings: Settings, topic: str) -> list[int]:
    """The topic's partitions. Raises DependencyError where no broker answers or the topic is missing."""
    return _partitions(settings, KafkaAdmin(settings).metadata(topic), topic)


def offsets(settings: Settings, topic: str, wanted: Mapping[int, int], *, stable: bool = True) -> dict[int, int]:
    """By partition: the offset of FROM_BEGINNING, of FROM_END (the last stable one, or else the high watermark), or of
    the first record at a time (Unix milliseconds) or later; -1 where there is none so late.

    Raises DependencyError.
    """
    from confluent_kafka import IsolationLevel, KafkaException, TopicPartition
    from confluent_kafka.admin import OffsetSpec

    logical: dict[int, OffsetSpec] = {
        FROM_BEGINNING: OffsetSpec.earliest(),  # type: ignore[no-untyped-call]
        FROM_END: OffsetSpec.latest(),  # type: ignore[no-untyped-call]
    }
    if not wanted:
        return {}
    level = IsolationLevel.READ_COMMITTED if stable else IsolationLevel.READ_UNCOMMITTED
    admin = KafkaAdmin(settings)
    asked = {
        TopicPartition(topic, partition): logical.get(at) or OffsetSpec.for_timestamp(at)
        for partition, at in wanted.items()
    }
    try:
        found = gather_results(
            lambda wait_s: admin.ask(
                lambda client: client.list_offsets(asked, isolation_level=level, request_timeout=wait_s)
            )
        )
        return {at.partition: result.offset for at, result in found.items()}
    except KafkaException as error:
        raise unreachable(settings, error) from None


def read_ranges(
    settings: Settings, topic: str, spans: Sequence[OffsetRange], batch: int = BATCH, *, first_only: bool = False
) -> Generator[list["Message"], None, None]:
    """The committed records of the spans, or the first of each, at most `batch` at a time, each partition in order.

    A span may end anywhere up to the last stable offset. Records that retention removed on the way are passed over.
    Raises DependencyError where the brokers stop answering for good.
    """
    from confluent_kafka import KafkaError, KafkaException, TopicPartition

    ends = {span.partition: span.end for span in spans if span.offsets}
    if not ends:
        return
    consumer = make_consumer(settings, {"group.id": "sternpost-reader", "enable.partition.eof": True})
    try:
        consumer.assign([TopicPartition(topic, span.partition, span.start) for span in spans if span.offsets])
        while ends:
            within = []
            messages = consumer.consume(1, POLL_S)  # a full batch is not waited for
            for message in [*messages, *(consumer.consume(batch - 1, 0) if messages and batch > 1 else ())]:
                partition, error = message.partition() or 0, message.error()
                if error is None and partition in ends:
                    offset = message.offset() or 0
                    if offset < ends[partition]:
                        within.append(message)
                        if offset + 1 < ends[partition] and not first_only:
                            continue
                elif error is None or (error.code() != KafkaError._PARTITION_EOF and error.retriable()):
                    continue
                elif error.code() != KafkaError._PARTITION_EOF:
                    raise unreachable(settings, KafkaException(error))
                if ends.pop(partition, None) is not None:
                    consumer.pause([TopicPartition(topic, partition)])
            if within:
                yield within
    finally:
        consumer.close()


def first_messages(settings: Settings, topic: str, spans: Sequence[OffsetRange]) -> "dict[int, Message]":
    """By partition: the first committed record of each span that has any. Raises DependencyError."""
    return {
        message.partition() or 0: message
        for messages in read_ranges(settings, topic, spans, batch=100, first_only=True)
        for message in messages
    }


def headers_of(message: "Message") -> list[tuple[str, bytes | None]]:
    """The record's headers, in order."""
    found: list[tuple[str, bytes | None]] = message.headers() or []  # type: ignore[assignment]
    return found


def _partitions(settings: Settings, cluster: "ClusterMetadata", topic: str) -> list[int]:
    from confluent_kafka import KafkaError, KafkaException

    found = cluster.topics[topic]
    if found.error is not None and found.error.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED:
        raise unreachable(settings, KafkaException(found.error))
    if found.error is not None:
        raise DependencyError(
            f"Kafka at {settings.kafka.bootstrap_servers} has no topic {topic}; check the settings under `topics`, or "
            "make it with `sternpost topics create`"
        )
    return sorted(found.partitions)
