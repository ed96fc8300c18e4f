"""Which event a raw record holds, when it came, and the key that tells it from every other one."""

import hashlib
from functools import lru_cache
from typing import final

from processor.pipeline.records import RawRecord
from schemas import record_headers
from schemas.customerio.event_identity import identify as identify_body
from schemas.customerio.timestamps import MAX_S

_MAX_MS = MAX_S * 1000

LONGEST_PLAIN = 64
"""Event ids up to this many bytes stand in a key as they are, longer ones as their SHA-512 and one byte more, so that
the lengths tell the two apart."""

HASHED_SOURCE = 255
"""Stands where a key has its source's length, if a hash follows in the source's place."""


@final
class RecordIdentity:
    """What a record's headers say; see `identify`."""

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
        """`key`: of (source, attempt, event id), equal for two records if and only if these are. `source`: as
        `source_of` has it."""
        self.key = key
        self.source = source
        self.event_id = event_id
        self.received_at_ms = received_at_ms
        self.request_timestamp_s = request_timestamp_s
        self.traceparent = traceparent


def identify(record: RawRecord) -> RecordIdentity:
    """From the record's headers; from its body where it has none. Never raises, whatever was written there."""
    source = attempt = received_at = request_timestamp = traceparent = None
    plain = b""
    for name, held in record.headers:  # of two headers of one name the last counts
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
    received_at_ms = _number(received_at, _MAX_MS)
    if received_at_ms is None:
        received_at_ms = min(max(record.timestamp_ms, 0), _MAX_MS)
    prefix, name_of_source = _prefix(source, attempt)
    return RecordIdentity(
        prefix + plain, name_of_source, event_id, received_at_ms, _number(request_timestamp, MAX_S), traceparent
    )


def received_at_ms(record: RawRecord) -> int:
    """When the record's body was received, in Unix milliseconds. Never raises."""
    return identify(record).received_at_ms


def attempt_of(record: RawRecord) -> int:
    """How often the record was sent back as a dead letter; 0 if its header is absent or no number. Never raises."""
    return _attempt(dict(record.headers).get(record_headers.ATTEMPT))


def source_of(record: RawRecord) -> str:
    """The source's name as the record's headers have it, `default` if they name none; bytes that are no UTF-8 as
    escapes. Never raises."""
    return _name(dict(record.headers).get(record_headers.SOURCE))


@lru_cache(1024)
def _prefix(source: bytes | None, attempt: bytes | None) -> tuple[bytes, str]:
    """What a key begins with, and the name of the source.

    The prefix says where it ends: two of them are equal, or neither begins the other.
    """
    source = source or record_headers.DEFAULT_SOURCE.encode()
    if len(source) < HASHED_SOURCE:
        named = bytes([len(source)]) + source
    else:
        named = bytes([HASHED_SOURCE]) + hashlib.sha512(source).digest()
    return named + _attempt(attempt).to_bytes(4, "big"), _name(source)


def _name(source: bytes | None) -> str:
    return (source or b"").decode("utf-8", "backslashreplace") or record_headers.DEFAULT_SOURCE


def _attempt(text: bytes | None) -> int:
    return _number(text, 2**32 - 1) or 0


def _number(text: bytes | None, largest: int) -> int | None:
    """None for what is no whole number from 0 to `largest`."""
    if text is None:
        return None
    try:
        number = int(text)
    except ValueError:
        return None
    return number if 0 <= number <= largest else None
