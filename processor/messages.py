"""Records of what a consumer gives. Compiled, as all that is done for each record."""

from collections.abc import Iterable
from typing import Any

from processor.pipeline.records import RawRecord


def raw_records(topic: str, messages: Iterable[Any]) -> tuple[list[RawRecord], list[Any]]:
    """The records of confluent_kafka's `Message`s, and the errors among them, each in the order that they came."""
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
