"""Compressed bodies: whole, broken, and larger than they look."""

import gzip

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.request_body import MOST_MEMBERS, BodyTooLargeError, gunzip

LIMIT = 10_000


@given(parts=st.lists(st.binary(max_size=1000), min_size=1, max_size=4))
def test_a_gzip_of_any_number_of_members_is_undone(parts: list[bytes]) -> None:
    assert gunzip(b"".join(map(gzip.compress, parts)), LIMIT) == b"".join(parts)


def test_the_limit_is_of_what_comes_out() -> None:
    assert gunzip(gzip.compress(bytes(LIMIT)), LIMIT) == bytes(LIMIT)
    with pytest.raises(BodyTooLargeError):
        gunzip(gzip.compress(bytes(LIMIT + 1)), LIMIT)
    with pytest.raises(BodyTooLargeError):
        gunzip(gzip.compress(bytes(LIMIT)) + gzip.compress(b"x"), LIMIT)


def test_a_bomb_is_refused() -> None:
    with pytest.raises(BodyTooLargeError):
        gunzip(gzip.compress(bytes(1 << 26)), LIMIT)


def test_members_that_cost_time_and_hold_nothing_are_not_all_opened() -> None:
    assert gunzip(gzip.compress(b"x") * MOST_MEMBERS, LIMIT) == b"x" * MOST_MEMBERS
    assert gunzip(gzip.compress(b"x") * (MOST_MEMBERS + 1), LIMIT) is None


@pytest.mark.parametrize(
    "data", [b"", b"plain", gzip.compress(b"cut short", mtime=0)[:-1], gzip.compress(b"x", mtime=0) + b"rest"]
)
def test_what_is_no_gzip_is_nothing(data: bytes) -> None:
    assert gunzip(data, LIMIT) is None


@given(data=st.binary())
def test_no_bytes_do_harm(data: bytes) -> None:
    gunzip(data, LIMIT)
