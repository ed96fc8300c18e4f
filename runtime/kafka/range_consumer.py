"""Reads ranges of topics outside of any consumer group: committed records only; nothing is committed or changed."""

import threading
import time
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from confluent_kafka import Consumer, KafkaError, Message, TopicPartition
from confluent_kafka.admin import ClusterMetadata

from runtime.errors import DependencyError
from runtime.kafka import admin
from runtime.kafka.admin import KafkaAdmin, cluster_metadata
from runtime.kafka.clients import make_consumer
from runtime.kafka.errors import AUTHORIZATION_ERRORS, TRANSIENT_ERRORS, request_error
from runtime.kafka.message_headers import headers_of
from runtime.settings.model import Settings

__all__ = ["Message", "headers_of"]

FROM_BEGINNING, FROM_END = admin.FROM_BEGINNING, admin.FROM_END

POLL_S = 0.2

SILENCE_S = 120.0
"""How long brokers may give nothing of what they have. A restart, a new leader or a quota's delay takes less."""

BATCH = 5_000

READER_GROUP = "sternpost-reader"
"""Never joined: librdkafka wants a name, and asks for its coordinator."""


class OffsetRange(NamedTuple):
    """A range of offsets in one partition."""

    partition: int
    start: int
    """The first offset."""
    end: int
    """The offset after the last."""

    @property
    def offsets(self) -> int:
        """How many offsets; there are fewer records, since transactions leave markers."""
        return max(0, self.end - self.start)


def read(
    settings: Settings,
    topic: str,
    *,
    start: int = FROM_BEGINNING,
    follow: bool = False,
    idle_s: float | None = None,
    stop: threading.Event | None = None,
) -> Iterator[Message]:
    """Yield the topic's committed records, partitions interleaved, each partition in order.

    `start` is FROM_BEGINNING or FROM_END. Without `follow` it ends with the last record that was committed when the
    reader came there; with it, after `idle_s` seconds without a record, or never. It also ends within `POLL_S` seconds
    when asked to stop. Raises DependencyError if no broker answers, the topic is missing, or, without `follow`, nothing
    comes for `SILENCE_S` seconds.
    """
    with make_consumer(settings, {"group.id": READER_GROUP, "enable.partition.eof": not follow}) as consumer:
        partitions = _partitions(settings, cluster_metadata(settings, consumer, topic), topic)
        consumer.assign([TopicPartition(topic, partition, start) for partition in partitions])
        unfinished = set(partitions)
        last = time.monotonic()
        while unfinished and not (stop is not None and stop.is_set()):
            message = consumer.poll(POLL_S)
            if message is None:
                if follow and idle_s is not None and time.monotonic() - last > idle_s:
                    return
            elif (error := message.error()) is None:
                yield message
                last = time.monotonic()
            elif error.code() == KafkaError._PARTITION_EOF:
                unfinished.discard(message.partition() or 0)
                last = time.monotonic()
            else:
                _raise_unless_transient(settings, error)
            if not follow:
                _raise_if_silent(settings, topic, last)


def _raise_unless_transient(settings: Settings, error: KafkaError) -> None:
    """Raise KafkaRequestError for an error among a consumer's messages, unless the client goes on by itself."""
    if error.code() not in TRANSIENT_ERRORS:
        raise request_error(settings, error)


def _raise_if_silent(settings: Settings, topic: str, since: float) -> None:
    """Raise DependencyError if brokers have given nothing for too long, `since` a time of the monotonic clock."""
    if time.monotonic() - since > SILENCE_S:
        raise DependencyError(
            f"Kafka at {settings.kafka.bootstrap_servers} gave nothing of {topic} for {SILENCE_S:g} s, and there is "
            "more to read; check the brokers, and run this again"
        )


def readable_ranges(
    settings: Settings, topic: str, partitions: Iterable[int] | None = None, admin: KafkaAdmin | None = None
) -> list[OffsetRange]:
    """Return the range that each partition holds: from the oldest offset kept to the last stable one.

    `admin` is asked, or a client made for it; one that signs in with tokens takes a second to make
    (https://github.com/confluentinc/confluent-kafka-python/blob/master/src/confluent_kafka/src/confluent_kafka.c,
    wait_for_oauth_token_set).

    Raises DependencyError if no broker answers, the topic is missing, or it lacks one of `partitions`.
    """
    admin = admin or KafkaAdmin(settings)
    found = topic_partitions(settings, topic, admin)
    wanted = found if partitions is None else sorted(set(partitions))
    if missing := set(wanted) - set(found):
        raise DependencyError(f"{topic} has partitions 0 to {len(found) - 1}, and no {min(missing)}")
    starts = admin.offsets(topic, dict.fromkeys(wanted, FROM_BEGINNING))
    ends = admin.offsets(topic, dict.fromkeys(wanted, FROM_END))
    return [OffsetRange(partition, starts[partition], ends[partition]) for partition in wanted]


def topic_partitions(settings: Settings, topic: str, admin: KafkaAdmin | None = None) -> list[int]:
    """Return the topic's partitions. Raises DependencyError if no broker answers or the topic is missing."""
    return _partitions(settings, (admin or KafkaAdmin(settings)).metadata(topic), topic)


def offsets(settings: Settings, topic: str, wanted: Mapping[int, int], *, stable: bool = True) -> dict[int, int]:
    """Return `KafkaAdmin.offsets`. Raises DependencyError."""
    return KafkaAdmin(settings).offsets(topic, wanted, stable=stable)


def read_ranges(
    settings: Settings, topic: str, spans: Sequence[OffsetRange], batch: int = BATCH, *, first_only: bool = False
) -> Generator[list[Message], None, None]:
    """Yield the committed records of the ranges, at most `batch` at a time, each partition in order.

    With `first_only`, yield the first record of each range. A range may end anywhere up to the last stable offset.
    Records that retention removed meanwhile are skipped. Raises DependencyError if the brokers refuse to go on, or give
    nothing for `SILENCE_S` seconds.
    """
    ends = {span.partition: span.end for span in spans if span.offsets}
    if not ends:
        return
    with make_consumer(settings, {"group.id": READER_GROUP, "enable.partition.eof": True}) as consumer:
        consumer.assign([TopicPartition(topic, span.partition, span.start) for span in spans if span.offsets])
        last = time.monotonic()
        while ends:
            within = []
            for message in _fetched(consumer, batch):
                partition, error = message.partition() or 0, message.error()
                if error is not None and error.code() != KafkaError._PARTITION_EOF:
                    _raise_unless_transient(settings, error)
                    continue
                last = time.monotonic()
                if error is None and partition in ends:
                    offset = message.offset() or 0
                    if offset < ends[partition]:
                        within.append(message)
                        if offset + 1 < ends[partition] and not first_only:
                            continue
                if ends.pop(partition, None) is not None:
                    consumer.pause([TopicPartition(topic, partition)])
            if within:
                yield within
                last = time.monotonic()
            _raise_if_silent(settings, topic, last)


def _fetched(consumer: Consumer, batch: int) -> list[Message]:
    """Return what is there, without waiting for a full batch."""
    messages = consumer.consume(1, POLL_S)
    return [*messages, *consumer.consume(batch - 1, 0)] if messages and batch > 1 else messages


def first_messages(settings: Settings, topic: str, spans: Sequence[OffsetRange]) -> dict[int, Message]:
    """Return the first committed record of each range that has any, by partition. Raises DependencyError."""
    return {
        message.partition() or 0: message
        for messages in read_ranges(settings, topic, spans, batch=100, first_only=True)
        for message in messages
    }


def _partitions(settings: Settings, cluster: ClusterMetadata, topic: str) -> list[int]:
    found = cluster.topics[topic]
    if found.error is not None and found.error.code() in AUTHORIZATION_ERRORS:
        raise request_error(settings, found.error)
    if found.error is not None:
        raise DependencyError(
            f"Kafka at {settings.kafka.bootstrap_servers} has no topic {topic}; check the settings under `topics`, or "
            "create it with `sternpost topics create`"
        )
    return sorted(found.partitions)
