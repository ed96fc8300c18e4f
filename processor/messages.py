"""Raw records from a consumer's messages. Compiled, like everything that runs for each record."""

from collections.abc import Iterable
from typing import Any

from processor.pipeline.records import RawRecord


def raw_records(topic: str, messages: Iterable[Any]) -> tuple[list[RawRecord], list[Any]]:
    """Return the records of confluent_kafka `Message`s, and the `KafkaError`s among them, each in order."""
    records: list[RawRecord] = []
    errors: list[Any] = []
    for message in messages:
        error = message.error()
        if error is not None:
            errors.append(error)
            continue
        timestamp_ms: int = message.timestamp()[1]
        records.append(
            RawRecord(
                topic,
                message.partition(),
                message.offset(),
                timestamp_ms,
                message.key(),
                message.value(),
                message.headers() or [],
            )
        )
    return records, errors
