"""JSON text. The oracle is the standard library's parser: what it takes is taken, and with the same values."""

import json
from decimal import Decimal, InvalidOperation
from typing import Any, NoReturn

from schemas.customerio import lossless_json
from schemas.customerio.event_identity import identify
from schemas.customerio.lossless_json import MAX_DEPTH, LoneSurrogateText, UnrepresentableValue
from schemas.error_codes import PayloadRejectedError
from sternpost.local import samples

SEEDS = [
    *(json.dumps(payload).encode() for payload in list(samples.one_of_each())[::9]),
    b'\xef\xbb\xbf{"event_id": "\\ud800", "data": {"customer_id": 18446744073709551616}}',
    b"[1.0, 1e400, 1e-400, -0, -0.0, 123456789012345678901234567890, 0.1e999999999999999999999]",
    b'{"a": 1, "a": 2, "b": [true, false, null, "\\u0000\\ud83d\\ude00"]}',
    b"NaN",
    b"[" * 1100 + b"]" * 1100,
    b'"\\ud83d" "',
    b"9" * 4301,
]
WORDS = [
    b'"event_id"',
    b'"identifiers"',
    b'"cio_id"',
    b'"data"',
    b"\\ud800",
    b"1e999",
    b"\xef\xbb\xbf",
    b"NaN",
    b"true",
]


def check(data: bytes) -> None:
    expected = _expected(data)
    for read in (lossless_json.read, lossless_json.read_exactly):
        try:
            found = read(data)
        except PayloadRejectedError:
            found = _REFUSED
        assert (found is _REFUSED) == (expected is _REFUSED)
        if found is not _REFUSED:
            _compare(found, expected, exactly=read is lossless_json.read_exactly)
    _check_identity(data, expected)


_REFUSED = object()


def _expected(data: bytes) -> Any:
    try:
        text = data.decode("utf-8-sig")
        tree = json.loads(text, parse_float=_Number, parse_int=_Number, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return _REFUSED
    return _REFUSED if _depth(tree) > MAX_DEPTH else tree


class _Number(str):
    """The digits of a number."""

    __slots__ = ()


def _refuse(name: str) -> NoReturn:
    raise ValueError(name)


def _depth(tree: Any) -> int:
    level, depth = [tree], 0
    while level := [inner for one in level if isinstance(one, dict | list) for inner in _inner(one)] or (
        [] if not any(isinstance(one, dict | list) for one in level) else [None]
    ):
        depth += 1
    return depth


def _inner(one: Any) -> list[Any]:
    return list(one.values()) if isinstance(one, dict) else list(one)


def _compare(found: Any, expected: Any, *, exactly: bool) -> None:
    waiting = [(found, expected)]
    while waiting:
        one, other = waiting.pop()
        if isinstance(other, dict):
            assert isinstance(one, dict)
            assert list(one) == list(other)
            waiting += [(one[name], value) for name, value in other.items()]
        elif isinstance(other, list):
            assert isinstance(one, list)
            assert len(one) == len(other)
            waiting += zip(one, other, strict=True)
        elif isinstance(other, _Number):
            _compare_number(one, other, exactly=exactly)
        elif isinstance(other, str):
            lone = any(0xD800 <= ord(letter) <= 0xDFFF for letter in other)
            assert isinstance(one, LoneSurrogateText) if lone else one == other
        else:
            assert one is other


def _compare_number(found: Any, digits: _Number, *, exactly: bool) -> None:
    if isinstance(found, UnrepresentableValue):
        assert len(digits) > 4300 or "e" in digits.lower()
    elif isinstance(found, float):
        assert not exactly
        assert found == float(digits)
    else:
        try:
            assert found == Decimal(digits)
        except InvalidOperation:
            raise AssertionError(f"{found} is not {digits}") from None
        assert isinstance(found, Decimal) == any(letter in digits for letter in ".eE")


def _check_identity(data: bytes, tree: Any) -> None:
    identity = identify(data)
    assert identity == identify(data)
    assert len(identity.event_id.encode()) <= max(64, len(data))
    assert identity.event_id
    if identity.person is not None:
        assert 0 < len(identity.person.encode()) <= len(data)
    if tree is not _REFUSED and isinstance(tree, dict):
        # Written in another way, the body still says the same of the person and the event.
        other = identify(_written(tree))
        assert other.person == identity.person
        assert other.event_id == identity.event_id or len(identity.event_id) == 64


def _written(tree: Any) -> bytes:
    """Write the tree with other white space and escapes, and the numbers as they were."""
    digits: list[str] = []

    def marked(value: Any) -> Any:
        if isinstance(value, _Number):
            digits.append(str(value))
            return f"\ufdd0{len(digits) - 1}\ufdd1"
        if isinstance(value, dict):
            return {name: marked(inner) for name, inner in value.items()}
        return [marked(inner) for inner in value] if isinstance(value, list) else value

    text = json.dumps(marked(tree), indent=1)
    for at, number in enumerate(digits):
        text = text.replace(f'"\\ufdd0{at}\\ufdd1"', number)
    return text.encode()
