"""The key by which duplicates are found, and the rest that a record says of itself."""

import hashlib
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processor.pipeline.records import LONGEST_PLAIN, RawRecord, attempt_of, identify
from schemas.record_headers import ATTEMPT, EVENT_ID, RECEIVED_AT, REQUEST_TIMESTAMP, SOURCE
from tests.support.raw_records import NOW_MS, payload, raw

_NAMES = st.one_of(st.sampled_from(["a", "b", "", "\0", "aa"]), st.text(max_size=300))


@given(st.lists(st.tuples(_NAMES, st.integers(0, 3), _NAMES.filter(bool)), min_size=2, max_size=2))
def test_keys_are_equal_exactly_where_source_attempt_and_event_id_are(pair: list[tuple[str, int, str]]) -> None:
    (key, other) = (
        identify(
            raw(
                headers=[
                    (SOURCE, source.encode(errors="replace")),
                    (ATTEMPT, b"%d" % attempt),
                    (EVENT_ID, event_id.encode(errors="replace")),
                ]
            )
        ).key
        for source, attempt, event_id in pair
    )
    same = [
        (source.encode(errors="replace") or b"default", attempt, event_id.encode(errors="replace"))
        for source, attempt, event_id in pair
    ]
    assert (key == other) == (same[0] == same[1])


@given(
    st.lists(
        st.tuples(
            st.sampled_from([SOURCE, EVENT_ID, ATTEMPT, RECEIVED_AT, REQUEST_TIMESTAMP, "other"]),
            st.one_of(st.none(), st.binary(max_size=100), st.integers(-(10**20), 10**20).map(lambda n: b"%d" % n)),
        )
    ),
    st.one_of(st.none(), st.binary()),
    st.integers(-1, 2**62),
)
def test_whatever_was_written_is_identified(
    headers: list[tuple[str, bytes | None]], body: bytes | None, at_ms: int
) -> None:
    record = RawRecord("raw", 0, 0, at_ms, None, body, headers)
    found = identify(record)
    assert found.event_id
    assert found.received_at_ms >= 0
    assert len(found.key) <= 1 + 254 + 4 + LONGEST_PLAIN + 1
    again = identify(record)
    assert (found.key, found.event_id, found.received_at_ms) == (again.key, again.event_id, again.received_at_ms)


def test_without_headers_the_body_tells() -> None:
    record = raw(body=payload("from-the-body"), headers=[])
    assert identify(record).event_id == "from-the-body"
    assert identify(record).received_at_ms == NOW_MS
    assert identify(record).key == identify(raw(event_id="from-the-body", source="default")).key


@pytest.mark.parametrize(
    ("header", "name"),
    [(b"eu", "eu"), (None, "default"), (b"", "default"), ("größe".encode(), "größe"), (b"eu\xff", "eu\\xff")],
)
def test_the_source_is_named_by_its_header(header: bytes | None, name: str) -> None:
    assert identify(raw(headers=[(SOURCE, header)])).source == name
    assert identify(raw(headers=[])).source == "default"


@pytest.mark.parametrize(
    "value", [b"1_0", b" 7 ", b"+7", b"-7", "٧".encode(), b"7.0", b"1" * 5_000, b"4294967296", b""]
)
def test_what_is_no_number_in_decimal_counts_as_absent(value: bytes) -> None:
    record = raw(headers=[(EVENT_ID, b"1"), *((name, value) for name in (ATTEMPT, RECEIVED_AT, REQUEST_TIMESTAMP))])
    if value != b"4294967296":
        assert (identify(record).received_at_ms, identify(record).request_timestamp_s) == (NOW_MS, None)
    assert attempt_of(record) == 0
    assert identify(record).key == identify(raw(headers=[(EVENT_ID, b"1")])).key


def test_without_an_event_id_anywhere_the_bytes_tell() -> None:
    assert identify(raw(body=b"no json", headers=[])).event_id == hashlib.sha256(b"no json").hexdigest()
    assert identify(RawRecord("raw", 0, 0, 0, None, None, [])).event_id == hashlib.sha256(b"").hexdigest()


def test_an_event_id_that_is_no_text_is_taken_from_the_body() -> None:
    assert identify(raw(body=payload("sound"), headers=[(EVENT_ID, b"\xff")])).event_id == "sound"


def test_a_time_out_of_range_is_unknown() -> None:
    far = [(EVENT_ID, b"x"), (RECEIVED_AT, b"9" * 30), (REQUEST_TIMESTAMP, b"9" * 30)]
    assert identify(raw(headers=far)).received_at_ms == NOW_MS
    assert identify(raw(headers=far)).request_timestamp_s is None


@pytest.mark.parametrize("name", [SOURCE, ATTEMPT])
def test_no_long_header_is_kept(name: str) -> None:
    """Whoever can write to the raw topic could fill the processor's memory."""
    value = bytes(100_000)
    held = sys.getrefcount(value)
    identify(raw(headers=[(name, value)]))
    assert sys.getrefcount(value) == held
