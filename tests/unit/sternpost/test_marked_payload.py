"""A payload with its faults marked."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sternpost.operations.marked_payload import excerpt, lines, window

trees = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=20,
)


def marked(body: bytes, field: str | None) -> list[str]:
    return [line.text.strip() for line in lines(body, field) if line.at_fault]


@given(trees)
def test_what_is_shown_is_the_payload(tree: Any) -> None:
    assert json.loads("\n".join(line.text for line in lines(json.dumps(tree).encode(), None))) == tree


def test_numbers_and_doubled_names_are_shown_as_they_were_sent() -> None:
    shown = [line.text.strip() for line in lines(b'{"a":1.50,"a":1e400,"b":12345678901234567890123}', None)]
    assert shown == ["{", '"a": 1.50,', '"a": 1e400,', '"b": 12345678901234567890123', "}"]


def test_the_field_at_fault_is_marked() -> None:
    body = b'{"data":{"action_id":"x","recipients":[{"device_id":1},{"device_id":2}]},"metric":"sent"}'
    assert marked(body, "data.action_id") == ['"action_id": "x",']
    assert marked(body, "data.recipients[1].device_id") == ['"device_id": 2']
    assert marked(body, "metric") == ['"metric": "sent"']
    assert marked(body, None) == []
    assert marked(body, "data.action") == marked(body, "data")


def test_of_a_field_that_is_absent_what_is_around_it_is_marked() -> None:
    assert marked(b'{"data":{"a":1},"metric":"sent"}', "data.identifiers") == ['"data": {', '"a": 1', "},"]
    assert marked(b'{"metric":"sent"}', "data.identifiers") == []


def test_a_body_that_is_no_json_is_shown_with_where_it_breaks_off() -> None:
    assert [(line.text, line.at_fault, line.start, line.number) for line in lines(b'{"a":1,\n "b":', None)] == [
        ('{"a":1,', False, 0, 1),
        (' "b":', True, 5, 2),
    ]
    [mark] = [line for line in lines(b'{"\x1b[31m":1, x}', None) if line.at_fault]
    assert mark.text[mark.start : mark.end] == "\\u001b", "columns are those of the escaped text"
    assert lines(b"\xff{", None)[0].text == "\\xff{"
    assert [line.text for line in lines(b"NaN", None)] == ["NaN"]


def test_a_body_nested_too_deep_is_shown_as_it_is() -> None:
    body = b"[" * 100_000
    assert lines(body, None)[0].text == body.decode()


@given(trees)
def test_each_line_says_where_its_value_is(tree: Any) -> None:
    for line in lines(json.dumps(tree, ensure_ascii=False).encode(errors="surrogatepass"), None):
        shown = line.text[line.start : line.end]
        assert shown
        assert line.text[line.end :] in ("", ",")
        if shown not in ("{", "}", "[", "]"):
            json.loads(shown)


def test_an_excerpt_is_short_whatever_is_beside_the_fault() -> None:
    body = json.dumps(
        {"long": "x" * 10_000, "list": [{"a": 1}] * 999, "data": {"list": [[1, 2], ["y" * 999]], "z": {}}}
    )
    assert [line.text for line in excerpt(body.encode(), "data.list[1]")] == [
        '    "list": [',
        "      [1, 2],",
        "      [",
        f'        "{"y" * 58}…',
        "      ]",
    ]
    assert excerpt(body.encode(), "nothing") == excerpt(body.encode(), None) == []
    [line] = excerpt(b'{"a": "' + b"x" * 9_000 + b'" b ' + b"y" * 9_000, None)
    assert len(line.text) < 100
    assert line.text[line.start : line.end] == "b"


@pytest.mark.parametrize("fault", [None, 0, 9, 2_000, 2_999])
def test_a_window_has_the_fault_and_at_most_as_many_lines_as_were_asked_for(fault: int | None) -> None:
    items, most, before = 3_000, 1_000, 10
    body, field = b"[" + b",".join([b"1"] * items) + b"]", None if fault is None else f"[{fault}]"
    part = window(body, field, most=most, before=before)
    assert part.before == max(0, (fault or 0) + 1 - before)
    assert len(part.lines) == min(most, items + 2 - part.before)
    assert part.cut == (part.before + len(part.lines) < items + 2)
    assert part.lines == lines(body, field)[part.before :][:most]
    assert [line.path for line in part.lines if line.at_fault] == ([] if fault is None else [f"[{fault}]"])


def test_a_window_of_a_short_payload_is_all_of_it() -> None:
    part = window(b'{"a": 1}', "a", most=20, before=10)
    assert [line.text for line in part.lines] == ["{", '  "a": 1', "}"]
    assert (part.before, part.cut) == (0, False)


def test_a_window_of_text_that_is_not_json_is_where_it_stops_being_json() -> None:
    part = window(b"[\n" + b"1,\n" * 1_000 + b"x" + b"\n" * 50_000, None, most=20_000, before=10)
    assert part.before == 1_001 - 10
    assert [line.text for line in part.lines if line.at_fault] == ["x"]
    assert (len(part.lines), part.cut) == (20_000, True)
