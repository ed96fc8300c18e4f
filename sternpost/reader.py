"""Reads topics outside of any consumer group: committed records only, and nothing changes by it."""

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from runtime.errors import DependencyError
from runtime.kafka import ADMIN_TIMEOUT_S, consumer_config, unreachable
from runtime.settings import Settings

if TYPE_CHECKING:
    from confluent_kafka import Consumer, Message

FROM_BEGINNING, FROM_END = -2, -1
"""librdkafka's logical offsets."""

POLL_S = 0.2


def read(
    settings: Settings, topic: str, *, start: int = FROM_BEGINNING, follow: bool = False, idle_s: float | None = None
) -> Iterator["Message"]:
    """The topic's committed records, partitions interleaved, each partition in order.

    `start`: FROM_BEGINNING or FROM_END. Without `follow` it ends with the last record that was committed when it came
    there; with it, it goes on until `idle_s` seconds pass without a record, or for ever.

    Raises DependencyError where no broker answers or the topic is missing.
    """
    from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

    consumer = Consumer(
        consumer_config(settings, **{"group.id": "sternpost-reader", "enable.partition.eof": not follow})
    )
    try:
        partitions = _partitions(settings, consumer, topic)
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


def headers(message: "Message") -> dict[str, str]:
    """A record's headers as text; bytes that are no UTF-8 are shown escaped."""
    stored: Any = message.headers() or []  # the library's own annotation allows for a dict, which it never gives
    return {
        name: value if isinstance(value, str) else value.decode("utf-8", "backslashreplace")
        for name, value in stored
        if value is not None
    }


def _partitions(settings: Settings, consumer: "Consumer", topic: str) -> list[int]:
    from confluent_kafka import KafkaException

    try:
        found = consumer.list_topics(topic, timeout=ADMIN_TIMEOUT_S).topics[topic]
    except KafkaException as error:
        raise unreachable(settings, error) from None
    if found.error is not None:
        raise DependencyError(
            f"Kafka at {settings.kafka.bootstrap_servers} has no topic {topic}; check the settings under `topics`, or "
            "make it with `sternpost topics create`"
        )
    return sorted(found.partitions)
