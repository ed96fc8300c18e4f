"""How a topic is cut into windows, and the time in an event id."""

from hypothesis import given
from hypothesis import strategies as st

from runtime.kafka.range_consumer import OffsetRange
from sternpost.operations import search

ranges = st.lists(
    st.tuples(st.integers(0, 10**7), st.integers(0, 400_000)).map(lambda pair: (pair[0], pair[0] + pair[1])), max_size=6
).map(lambda pairs: [OffsetRange(number, *pair) for number, pair in enumerate(pairs)])


@given(ranges, st.booleans())
def test_windows_have_each_offset_once_and_in_order(given_ranges: list[OffsetRange], newest_first: bool) -> None:
    windows = list(search.windows(given_ranges, newest_first=newest_first))
    for part in given_ranges:
        own = [found for window in windows for found in window if found.partition == part.partition]
        own = own[::-1] if newest_first else own
        edges = [part.start, *(found.end for found in own)]
        assert [found.start for found in own] == edges[:-1]
        assert edges[-1] == part.end
    sizes = [sum(part.offsets for part in window) for window in windows]
    assert all(size <= search.WINDOW * 2**number for number, size in enumerate(sizes))
    assert max(sizes, default=0) <= search.LARGEST_WINDOW


@given(st.integers(0, 2**48 - 1), st.text("0123456789ABCDEFGHJKMNPQRSTVWXYZ", min_size=16, max_size=16))
def test_the_time_in_a_ulid(ms: int, random: str) -> None:
    letters = ""
    left = ms
    for _ in range(10):
        left, digit = divmod(left, 32)
        letters = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"[digit] + letters
    assert search.time_in(letters + random) == ms


def test_other_ids_have_no_time() -> None:
    for event_id in ("", "1", "01HDa100000000000000000984", "8" + "0" * 25, "01E4C4CT6YDC7Y5M7FE1GWWPQ", "I" * 26):
        assert search.time_in(event_id) is None
    assert search.time_in("01E4C4CT6YDC7Y5M7FE1GWWPQJ") == 1_585_250_199_774


def test_the_part_before() -> None:
    both = [OffsetRange(0, 5, 50), OffsetRange(1, 0, 9)]
    assert search.without(both, [OffsetRange(0, 20, 50)]) == [OffsetRange(0, 5, 20), OffsetRange(1, 0, 9)]
