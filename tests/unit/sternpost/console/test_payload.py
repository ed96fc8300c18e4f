"""The part of a payload that a page keeps."""

import pytest

from sternpost.console import payload


@pytest.mark.parametrize("fault", [None, 0, 9, 40_000, 59_999])
def test_a_long_payload_is_kept_in_part_and_with_its_fault(fault: int | None) -> None:
    items = 60_000
    window = payload._window(b"[" + b",".join([b"1"] * items) + b"]", None if fault is None else f"[{fault}]")
    assert len(window.lines) <= payload.MOST_LINES
    assert window.before + len(window.lines) + window.after == items + 2
    assert [line.path for line in window.lines if line.at_fault] == ([] if fault is None else [f"[{fault}]"])


def test_a_short_one_is_kept_whole() -> None:
    window = payload._window(b'{"a": 1}', "a")
    assert [line.text for line in window.lines] == ["{", '  "a": 1', "}"]
    assert (window.before, window.after) == (0, 0)
