"""The two headers of a signature, of any text, over any body. The oracle computes the signature in one piece."""

import hmac
import re
from hashlib import sha256

from schemas.customerio import signature
from tests.fuzz.taker import Taker, piece

KEYS = (b"first-key", b"second-key")
_NOW_S = 1_700_000_000
_TIMESTAMP = re.compile(r"[0-9]{1,19}")

SEEDS = [
    b"\x01\x00" + piece(b"1700000000") + piece(b"") + b"body",
    b"\x02\x00" + piece(b"1700000000") + piece(b"") + b"body",
    b"\x00\x00" + piece(b"1700000000") + piece(b"a" * 64) + b"body",
    b"\x00\x01" + piece(b"1699990000") + piece(b"a" * 64) + b"body",
    b"\x03\x01" + piece("١٧٠٠٠٠٠٠٠٠".encode()) + piece(b"A") + b"body",
    b"\x01\x01" + piece(b"99999999999999999999") + piece(b"") + b"",
]


def check(data: bytes) -> None:
    taker = Taker(data)
    signed_by, tolerance_s = taker.number(4), taker.number(2) * 3_600
    timestamp, given, body = taker.text(), taker.text(), taker.rest()
    if 1 <= signed_by <= len(KEYS):
        made = _signature(KEYS[signed_by - 1], timestamp, body)
        given = made[: len(made) - len(given)] + given  # some of it may be spoilt
    fault = signature.find_header_fault(timestamp or None, given or None, _NOW_S, tolerance_s)
    assert fault == _expected_fault(timestamp, given, tolerance_s)
    if fault not in ("missing", "malformed"):
        valid = any(given.lower() == _signature(key, timestamp, body) for key in KEYS)
        assert signature.is_valid(map(signature.signer, KEYS), timestamp, given, body) == valid
    signature.is_valid(map(signature.signer, KEYS), timestamp, given, body)


def _signature(key: bytes, timestamp: str, body: bytes) -> str:
    return hmac.digest(key, f"v0:{timestamp}:".encode() + body, sha256).hex()


def _expected_fault(timestamp: str, given: str, tolerance_s: int) -> str | None:
    if not (timestamp and given):
        return "missing"
    if not _TIMESTAMP.fullmatch(timestamp) or len(given) != 64:
        return "malformed"
    late = tolerance_s and not _NOW_S - tolerance_s <= int(timestamp) <= _NOW_S + tolerance_s
    return "expired" if late else None
