"""What the core of the processor takes and gives, with no Kafka in it."""

from typing import NamedTuple

from schemas import headers
from schemas.rejection import ErrorCode, Stage

Headers = list[tuple[str, bytes | None]]


class RawRecord(NamedTuple):
    """One record of the raw topic."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    """The record's own timestamp, Unix milliseconds; -1 where it has none."""
    key: bytes | None
    value: bytes | None
    headers: Headers


class Event(NamedTuple):
    """The record became an event."""

    key: bytes
    value: bytes
    """Confluent wire format."""
    traceparent: bytes | None
    """The only header that an event's record has."""


def headers_of(event: Event) -> Headers:
    """The headers of the event's record."""
    return [] if event.traceparent is None else [(headers.TRACEPARENT, event.traceparent)]


class DeadLetter(NamedTuple):
    """The record could not become an event; its own key, value and headers go along when this is written."""

    code: ErrorCode
    stage: Stage
    field: str | None
    message: str


class Duplicate(NamedTuple):
    """The record's event was there before, at `first_offset` of the same partition."""

    first_offset: int


Outcome = Event | DeadLetter | Duplicate
