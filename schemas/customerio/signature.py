"""Customer.io's signature: HMAC-SHA256 over `v0:<X-CIO-Timestamp>:<body>`, in hex, under one of a source's keys."""

import hmac
from collections.abc import Iterable

TIMESTAMP_HEADER = "x-cio-timestamp"
SIGNATURE_HEADER = "x-cio-signature"

_HEX_DIGITS = 64
_MOST_TIMESTAMP_DIGITS = 19


def fault(timestamp: str | None, signature: str | None, now_s: float, tolerance_s: int) -> str | None:
    """What is wrong before the body is known: `missing`, `malformed` or `expired`; None where nothing is.

    A tolerance of 0 lets every time pass.
    """
    if not timestamp or not signature:
        return "missing"
    if not is_timestamp(timestamp) or len(signature) != _HEX_DIGITS:
        return "malformed"
    if tolerance_s and abs(now_s - int(timestamp)) > tolerance_s:
        return "expired"
    return None


def signer(key: bytes) -> hmac.HMAC:
    """A key made ready for `matches`, which costs more than signing a body does."""
    return hmac.new(key, b"v0:", "sha256")


def matches(signers: Iterable[hmac.HMAC], timestamp: str, signature: str, body: bytes) -> bool:
    """Whether one of the keys made this signature. All are tried, so the time taken does not tell which."""
    prefix = timestamp.encode() + b":"
    given = signature.lower().encode()
    matched = False
    for prepared in signers:
        mac = prepared.copy()
        mac.update(prefix)
        mac.update(body)
        matched |= hmac.compare_digest(mac.hexdigest().encode(), given)
    return matched


def is_timestamp(text: str) -> bool:
    """Unix seconds in ASCII digits."""
    return text.isdecimal() and text.isascii() and len(text) <= _MOST_TIMESTAMP_DIGITS
