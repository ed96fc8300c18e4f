"""One record of the dead-letter topic: a dead letter without its payload, or a redrive marker."""

import base64
import sys
from collections.abc import Mapping
from typing import Any, NamedTuple

from runtime.kafka.range_consumer import Message, headers_of
from schemas import record_headers
from schemas.track_event import iso

_LARGEST_PARTITION = 2**31 - 1
LONGEST_TEXT = 1024
"""In characters. An index keeps every code, source and field that there is, and anyone who can write to the raw topic
can invent a source of a megabyte; those in the settings have up to 255 characters."""

PartitionOffset = tuple[int, int]
"""Partition and offset in the dead-letter topic, written `3:42`."""


class DeadLetterRecord(NamedTuple):
    """A dead letter without its key and payload: nothing here is a person's data."""

    partition: int
    offset: int
    failed_at_ms: int
    """Unix milliseconds."""
    received_at_ms: int
    """When the webhook was received, in Unix milliseconds."""
    code: str
    stage: str
    field: str | None
    """Path in the payload: `data.recipients[0].device_id`."""
    message: str
    source: str
    event_id: str | None
    attempt: int
    """The number of times that it was sent back before this failure."""
    raw_topic: str
    raw_partition: int
    raw_offset: int
    size_bytes: int
    redriven: bool = False
    """Whether it was sent back after this failure."""

    @property
    def partition_offset(self) -> PartitionOffset:
        """Where it is in the dead-letter topic."""
        return self.partition, self.offset

    def as_json(self) -> dict[str, Any]:
        """Return the dead letter as JSON for scripts."""
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


def decoded_headers(message: Message) -> dict[str, str]:
    """Return the headers as text, the last of each name; bytes that are not UTF-8 are escaped."""
    return {name: (value or b"").decode("utf-8", "backslashreplace") for name, value in headers_of(message)}


def parse_dead_letter(message: Message) -> DeadLetterRecord | None:
    """Return the dead letter; None if the record is not one."""
    found, held = decoded_headers(message), dict(headers_of(message))
    if record_headers.ERROR_CODE not in found:
        return None
    failed_at_ms = message.timestamp()[1]
    return DeadLetterRecord(
        partition=message.partition() or 0,
        offset=message.offset() or 0,
        failed_at_ms=failed_at_ms,
        received_at_ms=min(failed_at_ms, _number(held, record_headers.RECEIVED_AT, failed_at_ms)),
        code=_kept(found[record_headers.ERROR_CODE]),
        stage=_kept(found.get(record_headers.ERROR_STAGE, "")),
        field=_kept(field) if (field := found.get(record_headers.ERROR_FIELD)) else None,
        message=_kept(found.get(record_headers.ERROR_MESSAGE, "")),
        source=_kept(found.get(record_headers.SOURCE) or record_headers.DEFAULT_SOURCE),
        event_id=found.get(record_headers.EVENT_ID),
        attempt=record_headers.read_attempt(held.get(record_headers.ATTEMPT)),
        raw_topic=_kept(found.get(record_headers.RAW_TOPIC, "")),
        raw_partition=_number(held, record_headers.RAW_PARTITION, -1, _LARGEST_PARTITION),
        raw_offset=_number(held, record_headers.RAW_OFFSET, -1),
        size_bytes=len(message.value() or b""),
    )


def _kept(text: str) -> str:
    return sys.intern(text[:LONGEST_TEXT])  # a topic of a million dead letters has few different ones


def parse_redrive_marker(message: Message) -> PartitionOffset | None:
    """Return where the dead letter is that was sent back; None if the record is not a redrive marker."""
    offset = _number(dict(headers_of(message)), record_headers.REDRIVEN_OFFSET, -1)
    return None if offset < 0 else (message.partition() or 0, offset)


def _number(
    headers: Mapping[str, bytes | None], name: str, default: int, largest: int = record_headers.LARGEST_OFFSET
) -> int:
    number = record_headers.read_number(headers.get(name), largest)
    return default if number is None else number


def as_json_with_payload(letter: DeadLetterRecord, message: Message) -> dict[str, Any]:
    """Return the dead letter with its headers, key and payload, which are a person's data.

    A key or payload that is not UTF-8 is in base64, under `key_base64` or `payload_base64`.
    """
    found: dict[str, Any] = {**letter.as_json(), "headers": decoded_headers(message)}
    for name, content in (("key", message.key()), ("payload", message.value())):
        try:
            found[name] = None if content is None else content.decode()
        except UnicodeDecodeError:
            found[f"{name}_base64"] = base64.b64encode(content or b"").decode()
    return found
