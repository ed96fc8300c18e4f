"""Which event a body is, and whom it is about, as far as can be told before it is mapped.

Ingest keys raw records by it; a raw record that something else wrote gets the same answers from its body.
"""

import hashlib
from typing import Any, NamedTuple

from schemas.customerio.coercion import name_of
from schemas.customerio.lossless_json import PrecisionLostError, read, read_exactly
from schemas.customerio.recipient import is_email
from schemas.error_codes import PayloadRejectedError


class Identity(NamedTuple):
    event_id: str
    """The body's own, else the SHA-256 of its bytes in hex. Never longer than the body, or 64."""
    person: str | None
    """What orders the events of one person; None where the body names nobody. Never longer than the body."""


def identify(body: bytes) -> Identity:
    """Never raises, whatever the bytes; both values can be encoded as UTF-8."""
    try:
        try:
            return _identity(read(body), body)
        except PrecisionLostError:
            return _identity(read_exactly(body), body)
    except PayloadRejectedError:
        return Identity(_digest(body), None)


def _identity(payload: Any, body: bytes) -> Identity:
    if type(payload) is not dict:
        return Identity(_digest(body), None)
    data = payload.get("data")
    if type(data) is not dict:
        data = {}
    identifiers = data.get("identifiers")
    if type(identifiers) is not dict:
        identifiers = {}
    person = (
        _named(identifiers.get("cio_id"))
        or _named(identifiers.get("id"))
        or _named(data.get("customer_id"))
        or _named(identifiers.get("email"))
        or _address(data.get("recipient"))
        or _named(data.get("email_address"))
    )
    return Identity(own_event_id(payload) or _digest(body), person)


def own_event_id(payload: dict[str, Any]) -> str | None:
    """The event id that a payload itself gives."""
    data = payload.get("data")
    inner = data.get("event_id") if type(data) is dict else None
    return _named(payload.get("event_id")) or _named(inner)


def _named(value: Any) -> str | None:
    """As the mapping has it; None also where the mapping will refuse the value."""
    try:
        return name_of(value, "")
    except PayloadRejectedError:
        return None


def _address(value: Any) -> str | None:
    named = _named(value)
    return named if named is not None and is_email(named) else None


def _digest(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()
