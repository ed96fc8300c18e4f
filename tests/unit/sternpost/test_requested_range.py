"""Ranges as people write them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.track_event import iso
from sternpost.operations.requested_range import Beginning, End, Offsets, Time, parse_bound, parse_time

NOW = 1_764_000_000_000


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("now", NOW),
        ("90s", NOW - 90_000),
        ("2h", NOW - 7_200_000),
        ("1.5d", NOW - 129_600_000),
        ("2025-01-01", 1_735_689_600_000),
        ("2025-01-01T01:00:00+01:00", 1_735_689_600_000),
    ],
)
def test_times(text: str, expected: int) -> None:
    assert parse_time(text, NOW) == expected
    assert parse_bound(text, NOW) == Time(expected)


@given(st.integers(0, 253_402_300_799_999))
def test_a_time_we_print_can_be_given_back(ms: int) -> None:
    assert parse_time(iso(ms)) == ms


@pytest.mark.parametrize("text", ["", "soon", "12", "1700000000", "2025-13-01", "0999-01-01", "-2h"])
def test_what_is_no_time_is_refused_with_examples(text: str) -> None:
    with pytest.raises(ValueError, match="2h"):
        parse_time(text, NOW)


def test_places() -> None:
    assert parse_bound("beginning") == Beginning()
    assert parse_bound("end") == End()
    everywhere, some = parse_bound("offset:1200"), parse_bound("0:1200,3:900")
    assert isinstance(everywhere, Offsets)
    assert isinstance(some, Offsets)
    assert [everywhere.of(7), some.of(0), some.of(3), some.of(1)] == [1200, 1200, 900, None]


@pytest.mark.parametrize("text", ["offset:", "offset:-1", "0:1,", "1200", "middle"])
def test_what_is_no_place_is_refused_with_examples(text: str) -> None:
    with pytest.raises(ValueError, match="offset:1200"):
        parse_bound(text)
