"""Customer.io's signature: HMAC-SHA256 over `v0:<X-CIO-Timestamp>:<body>`, in hex, with one of a source's keys.

https://docs.customer.io/integrations/api/webhooks
"""

import hmac
from collections.abc import Iterable

TIMESTAMP_HEADER = "x-cio-timestamp"
SIGNATURE_HEADER = "x-cio-signature"

_HEX_DIGITS = 64
_MOST_TIMESTAMP_DIGITS = 19


def find_header_fault(timestamp: str | None, signature: str | None, now_s: float, tolerance_s: int) -> str | None:
    """Return what is wrong with the two headers: `missing`, `malformed`, `expired`, or None.

    `expired` means more than `tolerance_s` seconds from now, in either direction; a tolerance of 0 accepts any time.
    """
    if not timestamp or not signature:
        return "missing"
    if not is_timestamp(timestamp) or len(signature) != _HEX_DIGITS:
        return "malformed"
    if tolerance_s and abs(now_s - int(timestamp)) > tolerance_s:
        return "expired"
    return None


def signer(key: bytes) -> hmac.HMAC:
    """Prepare a signing key for `is_valid`. This costs more than signing a body does."""
    return hmac.new(key, b"v0:", "sha256")


def is_valid(signers: Iterable[hmac.HMAC], timestamp: str, signature: str, body: bytes) -> bool:
    """Return whether one of the keys made this signature. All are tried, so the time taken does not tell which."""
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
    """Return whether the text is Unix seconds in ASCII digits."""
    return text.isdecimal() and text.isascii() and len(text) <= _MOST_TIMESTAMP_DIGITS
