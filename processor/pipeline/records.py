"""Raw records, what their headers say, and what they become: the input and output of the pipeline."""

import hashlib
from collections.abc import Iterable
from functools import lru_cache
from typing import Any, NamedTuple, final

from runtime.kafka.message_headers import Headers
from runtime.kafka.message_headers import headers_of as message_headers
from schemas import record_headers
from schemas.customerio.event_identity import identify as identify_body
from schemas.customerio.lossless_json import MAX_S
from schemas.error_codes import ErrorCode, Stage

_MAX_MS = MAX_S * 1000

LONGEST_PLAIN = 64
"""Event ids up to this many bytes are part of a key as they are. Longer ones are replaced by their SHA-512 and one more
byte, so that the lengths tell the two apart."""

HASHED_SOURCE = 255
"""The value of a key's length byte if the hash of a source follows instead of the source."""

_RAW_RECORD = ("topic", "partition", "offset", "timestamp_ms", "key", "value", "headers")
_EVENT = ("key", "value", "traceparent")


@final
class RawRecord:
    """One record of the raw topic.

    `RawRecord` and `Event` are plain classes: compiled code creates and reads them in a third of the time that a named
    tuple takes.
    """

    __slots__ = _RAW_RECORD

    def __init__(
        self,
        topic: str,
        partition: int,
        offset: int,
        timestamp_ms: int,
        key: bytes | None,
        value: bytes | None,
        headers: Headers,
    ) -> None:
        """Keep the values. `timestamp_ms` is the record's own timestamp in Unix milliseconds, -1 if it has none."""
        self.topic = topic
        self.partition = partition
        self.offset = offset
        self.timestamp_ms = timestamp_ms
        self.key = key
        self.value = value
        self.headers = headers

    def replace(self, **changes: Any) -> "RawRecord":
        """Return a copy with other values of these fields."""
        return RawRecord(**{name: changes.get(name, getattr(self, name)) for name in _RAW_RECORD})

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RawRecord) and all(getattr(self, name) == getattr(other, name) for name in _RAW_RECORD)

    def __hash__(self) -> int:
        return hash((self.topic, self.partition, self.offset))


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
                message_headers(message),
            )
        )
    return records, errors


@final
class RecordIdentity:
    """What the headers of a record say; see `identify`."""

    __slots__ = ("event_id", "key", "received_at_ms", "request_timestamp_s", "source", "traceparent")

    def __init__(
        self,
        key: bytes,
        source: str,
        event_id: str,
        received_at_ms: int,
        request_timestamp_s: int | None,
        traceparent: bytes | None,
    ) -> None:
        """Keep the values.

        `key` stands for (source, attempt, event id): two keys are equal if and only if these are. `source` is what
        `source_of` returns. `received_at_ms` is in Unix milliseconds, `request_timestamp_s` in Unix seconds.
        """
        self.key = key
        self.source = source
        self.event_id = event_id
        self.received_at_ms = received_at_ms
        self.request_timestamp_s = request_timestamp_s
        self.traceparent = traceparent


def identify(record: RawRecord) -> RecordIdentity:
    """Return the identity by the record's headers, or by its body if headers are missing. Never raises."""
    source = attempt = received_at = request_timestamp = traceparent = None
    plain = b""
    for name, held in record.headers:  # of two headers with one name the last counts
        if name == record_headers.SOURCE:
            source = held
        elif name == record_headers.EVENT_ID:
            plain = held or b""
        elif name == record_headers.REQUEST_TIMESTAMP:
            request_timestamp = held
        elif name == record_headers.RECEIVED_AT:
            received_at = held
        elif name == record_headers.TRACEPARENT:
            traceparent = held or None
        elif name == record_headers.ATTEMPT:
            attempt = held
    try:
        event_id = plain.decode()
    except UnicodeDecodeError:
        event_id = ""
    if not event_id:
        event_id = identify_body(record.value or b"").event_id
        plain = event_id.encode()
    if len(plain) > LONGEST_PLAIN:
        plain = hashlib.sha512(plain).digest() + b"\0"
    received_at_ms = record_headers.read_number(received_at, _MAX_MS)
    if received_at_ms is None:
        received_at_ms = min(max(record.timestamp_ms, 0), _MAX_MS)
    if len(source or b"") + len(attempt or b"") <= LONGEST_PLAIN:
        prefix, name_of_source = _kept_prefix(source, attempt)
    else:
        prefix, name_of_source = _prefix(source, attempt)
    request_timestamp_s = record_headers.read_number(request_timestamp, MAX_S)
    return RecordIdentity(prefix + plain, name_of_source, event_id, received_at_ms, request_timestamp_s, traceparent)


def received_at_ms(record: RawRecord) -> int:
    """Return when the record's body was received, in Unix milliseconds. Never raises."""
    return identify(record).received_at_ms


def attempt_of(record: RawRecord) -> int:
    """Return how often the record was redriven; 0 if its header is absent or not a number. Never raises."""
    return record_headers.read_attempt(dict(record.headers).get(record_headers.ATTEMPT))


def source_of(record: RawRecord) -> str:
    """Return the name of the source in the record's headers, or `default`. Never raises.

    Bytes that are not UTF-8 are escaped.
    """
    return _name(dict(record.headers).get(record_headers.SOURCE))


def _prefix(source: bytes | None, attempt: bytes | None) -> tuple[bytes, str]:
    """Return the prefix of a key, and the name of the source.

    The prefix contains its length, so that no prefix is the beginning of another.
    """
    source = source or record_headers.DEFAULT_SOURCE.encode()
    if len(source) < HASHED_SOURCE:
        named = bytes([len(source)]) + source
    else:
        named = bytes([HASHED_SOURCE]) + hashlib.sha512(source).digest()
    return named + record_headers.read_attempt(attempt).to_bytes(4, "big"), _name(source)


_kept_prefix = lru_cache(1024)(_prefix)
"""Kept for short headers only: anyone who can write to the raw topic can invent a thousand of a megabyte."""


def _name(source: bytes | None) -> str:
    return (source or b"").decode("utf-8", "backslashreplace") or record_headers.DEFAULT_SOURCE


@final
class Event:
    """The record became an event."""

    __slots__ = _EVENT

    def __init__(self, key: bytes, value: bytes, traceparent: bytes | None) -> None:
        """Keep a value in Confluent's wire format, and `traceparent`, the only header of an event's record."""
        self.key = key
        self.value = value
        self.traceparent = traceparent

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Event) and all(getattr(self, name) == getattr(other, name) for name in _EVENT)

    def __hash__(self) -> int:
        return hash((self.key, self.value))


def headers_of(event: Event) -> Headers:
    """Return the headers of the event's record."""
    return [] if event.traceparent is None else [(record_headers.TRACEPARENT, event.traceparent)]


class DeadLetter(NamedTuple):
    """The record could not become an event. It is written with the record's own key, value and headers."""

    code: ErrorCode
    stage: Stage
    field: str | None
    message: str


class Duplicate(NamedTuple):
    """The record's event first occurred at `first_offset` of the same partition."""

    first_offset: int


Outcome = Event | DeadLetter | Duplicate
