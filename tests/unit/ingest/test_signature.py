"""Customer.io's signature and its timestamp."""

import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.customerio import signature

NOW = 1_700_000_000.0


def sign(key: bytes, timestamp: str, body: bytes) -> str:
    return hmac.new(key, b"v0:%s:%s" % (timestamp.encode(), body), hashlib.sha256).hexdigest()


def matches(keys: list[bytes], timestamp: str, given_signature: str, body: bytes) -> bool:
    return signature.is_valid([signature.signer(key) for key in keys], timestamp, given_signature, body)


@pytest.mark.parametrize(
    ("timestamp", "given_signature", "fault"),
    [
        ("1700000000", "0" * 64, None),
        (None, "0" * 64, "missing"),
        ("", "0" * 64, "missing"),
        ("1700000000", None, "missing"),
        ("1700000000", "", "missing"),
        ("1700000000", "0" * 63, "malformed"),
        ("17e8", "0" * 64, "malformed"),
        ("-1", "0" * 64, "malformed"),
        ("1700000000.5", "0" * 64, "malformed"),
        ("٣", "0" * 64, "malformed"),
        ("9" * 20, "0" * 64, "malformed"),
        ("1699999700", "0" * 64, None),
        ("1699999699", "0" * 64, "expired"),
        ("1700000300", "0" * 64, None),
        ("1700000301", "0" * 64, "expired"),
    ],
)
def test_faults_seen_before_the_body(timestamp: str | None, given_signature: str | None, fault: str | None) -> None:
    assert signature.find_header_fault(timestamp, given_signature, NOW, tolerance_s=300) == fault


def test_a_tolerance_of_zero_lets_every_time_pass() -> None:
    assert signature.find_header_fault("1", "0" * 64, NOW, tolerance_s=0) is None


@given(body=st.binary(), keys=st.lists(st.binary(min_size=1), min_size=1, max_size=3), which=st.integers(0, 2))
def test_any_of_the_keys_may_have_signed(body: bytes, keys: list[bytes], which: int) -> None:
    signed = sign(keys[which % len(keys)], "1700000000", body)
    assert matches(keys, "1700000000", signed, body)
    assert matches(keys, "1700000000", signed.upper(), body)


@given(body=st.binary(), other=st.binary())
def test_another_body_time_or_key_does_not_match(body: bytes, other: bytes) -> None:
    signed = sign(b"key", "1700000000", body)
    assert matches([b"key"], "1700000000", signed, other) == (body == other)
    assert not matches([b"key"], "1700000001", signed, body)
    assert not matches([b"kez"], "1700000000", signed, body)
    assert not matches([], "1700000000", signed, body)


def test_a_signature_that_is_no_hex_does_not_match() -> None:
    assert not matches([b"key"], "1700000000", "é" * 64, b"")
