"""One dead letter, without its payload."""

import sys
from typing import TYPE_CHECKING, Any, NamedTuple

from runtime.kafka.range_consumer import headers_of
from schemas import record_headers
from schemas.customerio.timestamps import iso

if TYPE_CHECKING:
    from confluent_kafka import Message

Position = tuple[int, int]
"""Partition and offset in the topic of dead letters; people write `3:42`."""


class DeadLetterRecord(NamedTuple):
    """What is known of a dead letter; nothing here is a person's data."""

    partition: int
    offset: int
    failed_at_ms: int
    """Unix milliseconds."""
    received_at_ms: int
    """When its body came in, before it failed for the first time."""
    code: str
    stage: str
    field: str | None
    """Path in the payload: `data.recipients[0].device_id`."""
    message: str
    source: str
    event_id: str | None
    attempt: int
    """How often it was sent back before it failed this time."""
    raw_topic: str
    raw_partition: int
    raw_offset: int
    size_bytes: int
    redriven: bool = False
    """Whether it was sent back after it failed."""

    @property
    def position(self) -> Position:
        return self.partition, self.offset

    def as_json(self) -> dict[str, Any]:
        """For scripts."""
        return {
            "partition": self.partition,
            "offset": self.offset,
            "failed_at": iso(self.failed_at_ms),
            "code": self.code,
            "stage": self.stage,
            "field": self.field,
            "message": self.message,
            "source": self.source,
            "event_id": self.event_id,
            "attempt": self.attempt,
            "raw": {"topic": self.raw_topic, "partition": self.raw_partition, "offset": self.raw_offset},
            "size_bytes": self.size_bytes,
            "redriven": self.redriven,
        }


def texts(message: "Message") -> dict[str, str]:
    """The headers, the last of each name; bytes that are no UTF-8 are shown as escapes."""
    return {name: (value or b"").decode("utf-8", "backslashreplace") for name, value in headers_of(message)}


def letter_of(message: "Message") -> DeadLetterRecord | None:
    """None where the record is no dead letter."""
    found = texts(message)
    if record_headers.ERROR_CODE not in found:
        return None
    failed_at_ms = message.timestamp()[1]
    same = sys.intern  # a topic of a million letters has few different codes, messages and sources
    return DeadLetterRecord(
        partition=message.partition() or 0,
        offset=message.offset() or 0,
        failed_at_ms=failed_at_ms,
        received_at_ms=min(failed_at_ms, number(found.get(record_headers.RECEIVED_AT), failed_at_ms)),
        code=same(found[record_headers.ERROR_CODE]),
        stage=same(found.get(record_headers.ERROR_STAGE, "")),
        field=same(field) if (field := found.get(record_headers.ERROR_FIELD)) else None,
        message=same(found.get(record_headers.ERROR_MESSAGE, "")),
        source=same(found.get(record_headers.SOURCE) or record_headers.DEFAULT_SOURCE),
        event_id=found.get(record_headers.EVENT_ID),
        attempt=number(found.get(record_headers.ATTEMPT), 0),
        raw_topic=same(found.get(record_headers.RAW_TOPIC, "")),
        raw_partition=number(found.get(record_headers.RAW_PARTITION), -1),
        raw_offset=number(found.get(record_headers.RAW_OFFSET), -1),
        size_bytes=len(message.value() or b""),
    )


def redriven_position(message: "Message") -> Position | None:
    """The letter that this record says was sent back; None where it says no such thing."""
    offset = number(texts(message).get(record_headers.REDRIVEN_OFFSET), -1)
    return None if offset < 0 else (message.partition() or 0, offset)


def number(text: str | None, otherwise: int) -> int:
    """A whole number in decimal, not negative; `otherwise` for anything else."""
    return int(text) if text is not None and text.isascii() and text.isdigit() and len(text) < 19 else otherwise
