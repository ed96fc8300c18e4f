"""The event id and the person of a body, as far as they are known before it is mapped.

Ingest uses them for the key and headers of raw records. For a raw record that another program wrote, the processor gets
the same values from its body.
"""

import hashlib
import re
from typing import Any, NamedTuple

from schemas.customerio.lossless_json import PrecisionLostError, nonblank_text, read, read_exactly
from schemas.error_codes import PayloadRejectedError

_EMAIL = re.compile(r"[^\s@]+@[^\s@]+")
_PHONE = re.compile(r"\+?[0-9(][0-9 ().-]{2,}")
_PHONE_CHANNELS = frozenset({"sms", "whatsapp"})


class Identity(NamedTuple):
    """The event id and the person of a body."""

    event_id: str
    """The body's own id, otherwise the SHA-256 of its bytes in hex. Never longer than the body or 64 characters."""
    person: str | None
    """The key that keeps one person's events in order; None if the body names nobody. Never longer than the body."""


def identify(body: bytes) -> Identity:
    """Return the identity of a body. Never raises, whatever the bytes; both values can be encoded as UTF-8."""
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
    """Return the event id in the payload, if there is one."""
    data = payload.get("data")
    inner = data.get("event_id") if type(data) is dict else None
    return _named(payload.get("event_id")) or _named(inner)


def _named(value: Any) -> str | None:
    """Return the text that the mapping would use; None also if the mapping would reject the value."""
    try:
        return nonblank_text(value, "")
    except PayloadRejectedError:
        return None


def _address(value: Any) -> str | None:
    named = _named(value)
    return named if named is not None and is_email(named) else None


def is_email(recipient: str) -> bool:
    """Return whether a `recipient` is an email address: text, @ and text without white space, and not a URL.

    Customer.io also puts phone numbers, #channels, URLs and ids there.
    """
    return "@" in recipient and "://" not in recipient and _EMAIL.fullmatch(recipient) is not None


def is_phone(recipient: str, object_type: str) -> bool:
    """Return whether a `recipient` is a phone number: digits with the usual punctuation.

    Without a leading + it is one only on a channel that uses phone numbers. Elsewhere bare digits are an id.
    """
    return (recipient.startswith("+") or object_type in _PHONE_CHANNELS) and _PHONE.fullmatch(recipient) is not None


def _digest(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()
