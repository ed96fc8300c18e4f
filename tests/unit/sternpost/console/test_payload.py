"""The part of a payload that a page keeps."""

import pytest

from sternpost.console import payload
from sternpost.operations import marked_payload


@pytest.mark.parametrize("fault", [None, 0, 9, 2_000, 2_999])
def test_a_long_payload_is_kept_in_part_and_with_its_fault(fault: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(payload, "MOST_LINES", 1_000)
    items = 3_000
    body, field = b"[" + b",".join([b"1"] * items) + b"]", None if fault is None else f"[{fault}]"
    window = payload._window(body, field)
    assert window.before == max(0, (fault or 0) + 1 - payload.LINES_BEFORE)
    assert len(window.lines) == min(payload.MOST_LINES, items + 2 - window.before)
    assert window.cut == (window.before + len(window.lines) < items + 2)
    assert window.lines == marked_payload.lines(body, field)[window.before :][: payload.MOST_LINES]
    assert [line.path for line in window.lines if line.at_fault] == ([] if fault is None else [f"[{fault}]"])


def test_a_short_one_is_kept_whole() -> None:
    window = payload._window(b'{"a": 1}', "a")
    assert [line.text for line in window.lines] == ["{", '  "a": 1', "}"]
    assert (window.before, window.cut) == (0, False)


def test_text_that_is_not_json_is_kept_from_where_it_stops_being_json() -> None:
    window = payload._window(b"[\n" + b"1,\n" * 1_000 + b"x" + b"\n" * 50_000, None)
    assert window.before == 1_001 - payload.LINES_BEFORE
    assert [line.text for line in window.lines if line.at_fault] == ["x"]
    assert (len(window.lines), window.cut) == (payload.MOST_LINES, True)
