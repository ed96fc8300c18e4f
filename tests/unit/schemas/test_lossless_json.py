"""JSON read without loss, by both parsers alike."""

import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import orjson
import pytest
from hypothesis import given

from schemas.customerio.lossless_json import MAX_DEPTH, LoneSurrogateText, UnrepresentableValue, read, read_exactly
from schemas.error_codes import ErrorCode, PayloadRejectedError, Stage
from tests.support.payloads import JSON, bodies


def _same(value: Any, other: Any) -> bool:
    return repr(_floats(value)) == repr(_floats(other))


def _floats(value: Any) -> Any:
    match value:
        case dict():
            return {name: _floats(item) for name, item in value.items()}
        case list():
            return [_floats(item) for item in value]
        case Decimal() | float():
            return float(value)
        case int() if not isinstance(value, bool):
            return float(value) if abs(value) >= 2**63 else value
    return value


@given(JSON)
def test_the_exact_way_reads_the_same_as_the_fast_one(value: Any) -> None:
    body = json.dumps(value).encode()
    try:
        fast = orjson.loads(body)
    except orjson.JSONDecodeError:
        return
    assert _same(read_exactly(body), fast)


@given(bodies())
def test_both_ways_refuse_the_same_bodies(body: bytes) -> None:
    assert _refusal(read, body) == _refusal(read_exactly, body)


def _refusal(way: Callable[[bytes], Any], body: bytes) -> tuple[ErrorCode, Stage, str] | None:
    try:
        way(body)
    except PayloadRejectedError as rejection:
        return rejection.code, rejection.stage, rejection.message
    return None


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b"18446744073709551616", 2**64),
        (b"-9223372036854775809", -(2**63) - 1),
        (b"1" + b"0" * 4000, 10**4000),
        (b"1.10", Decimal("1.10")),
        (b"1e400", Decimal("1e400")),
        (b"\xef\xbb\xbf[]", []),
        (b'"\\ud83d\\ude00"', "😀"),
    ],
)
def test_numbers_and_marks_that_the_fast_way_does_not_take(body: bytes, value: object) -> None:
    assert read_exactly(body) == value


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b'"\\ud800"', LoneSurrogateText),
        (b"1e99999999999999999999", UnrepresentableValue),
        (b"1" * 4301, UnrepresentableValue),
        (b"-" + b"1" * 4300, UnrepresentableValue),
    ],
)
def test_what_no_field_can_hold_has_something_in_its_place(body: bytes, kind: type) -> None:
    assert type(read_exactly(body)) is kind
    assert type(read_exactly(b"[[" + body + b"]]")[0][0]) is kind
    assert type(read_exactly(b'{"a":{"b":' + body + b"}}")["a"]["b"]) is kind


@pytest.mark.parametrize("body", [b"[" * MAX_DEPTH + b"]" * MAX_DEPTH, b'{"a":' * MAX_DEPTH + b"1" + b"}" * MAX_DEPTH])
def test_both_ways_read_to_the_same_depth(body: bytes) -> None:
    assert read(body)
    assert read_exactly(body)
    for way in (read, read_exactly):
        with pytest.raises(PayloadRejectedError, match="1024 levels"):
            way(b"[" + body + b"]")


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "expecting value (line 1, column 1)"),
        (b'{"a":\n 1,}', "(line 2, column 4)"),
        (b"[NaN]", "NaN is not JSON"),
        (b"[-Infinity]", "-Infinity is not JSON"),
        (b"ab\xff", "byte 3 is not UTF-8"),
    ],
)
def test_the_message_says_where_it_ends_to_be_json(body: bytes, says: str) -> None:
    with pytest.raises(PayloadRejectedError) as caught:
        read(body)
    assert says in caught.value.message
    assert (caught.value.code, caught.value.stage, caught.value.field) == (
        ErrorCode.MALFORMED_JSON,
        Stage.PARSE,
        None,
    )
