"""A body's JSON text, read so that nothing is lost: fast where the fast parser is exact, exactly where it is not.

orjson rounds fractions and integers beyond 64 bits to floats, and refuses a byte order mark, lone surrogates and
numbers beyond a float's range, all of which are valid JSON (RFC 8259). `read_exactly` reads those too, more slowly.
"""

import json
import re
import sys
from decimal import Decimal, InvalidOperation
from typing import Any, NoReturn

import orjson

from schemas.error_codes import ErrorCode, PayloadRejectedError, Stage

MAX_DEPTH = 1024
"""Arrays and objects within each other; orjson's limit. A deeper body is refused rather than risk the stack."""

_MAX_DIGITS = 4300
"""Python's own bound on turning digits into an integer: beyond it the time grows with the square of the length."""

# An unfinished string ends with the text, so that each character is looked at once.
_STRING = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*(?:"|\\?\Z)', re.DOTALL)
_BRACKET = re.compile(r"[\[\]{}]")


# The standard library's parser counts its levels as Python calls, of which 1000 are allowed by default.
sys.setrecursionlimit(max(sys.getrecursionlimit(), 4 * MAX_DEPTH))


class PrecisionLostError(Exception):
    """A field holds a float, so its digits are lost: read the body again with `read_exactly`."""


class UnrepresentableValue:
    """Stands in the tree for a value that no field can hold; harmless where no field wants it."""

    def __init__(self, what: str) -> None:
        self.what = what


class LoneSurrogateText(UnrepresentableValue):
    """Stands for a text with half of a surrogate pair in it."""

    def __init__(self) -> None:
        super().__init__("text with a lone surrogate, which UTF-8 cannot carry")


def read(body: bytes) -> Any:
    """The value of the JSON text `body`.

    Floats in it may be inexact; whoever needs one raises `PrecisionLostError` and comes again with `read_exactly`.
    Duplicate names: the last one holds. Raises PayloadRejectedError `malformed_json`.
    """
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        if "depth limit" in error.msg:
            raise _too_deep() from None
    return read_exactly(body)


def read_exactly(body: bytes) -> Any:
    """The value of the JSON text `body`, fractions as Decimal and integers of any size up to 4300 digits.

    A leading byte order mark is skipped. Text with lone surrogates becomes `LoneSurrogateText`, a number that not even
    Decimal holds `UnrepresentableValue`. Raises PayloadRejectedError `malformed_json`, also for NaN and Infinity, which
    are no JSON.
    """
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _malformed(f"byte {error.start + 1} is not UTF-8") from None
    if _depth(text) > MAX_DEPTH:
        raise _too_deep()
    try:
        tree = json.loads(text, parse_float=_fraction, parse_int=_integer, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        raise _malformed(f"{_lower(error.msg)} (line {error.lineno}, column {error.colno})") from None
    return _without_surrogates(tree)


def _depth(text: str) -> int:
    deepest = depth = 0
    for bracket in _BRACKET.findall(_STRING.sub("", text)):
        depth += 1 if bracket in "[{" else -1
        deepest = max(deepest, depth)
    return deepest


def _without_surrogates(tree: Any) -> Any:
    """The tree with every text that UTF-8 cannot carry replaced; walked with a list, since trees can be deep."""
    root = [tree]
    waiting: list[Any] = [root]
    while waiting:
        node = waiting.pop()
        for at, value in node.items() if type(node) is dict else enumerate(node):
            if type(value) is str:
                if not is_unicode(value):
                    node[at] = LoneSurrogateText()
            elif type(value) in (dict, list):
                waiting.append(value)
    return root[0]


def is_unicode(text: str) -> bool:
    """Whether UTF-8 can carry the text, i.e. it has no lone surrogates."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _fraction(digits: str) -> Decimal | UnrepresentableValue:
    try:
        return Decimal(digits)
    except InvalidOperation:
        return UnrepresentableValue("a number with an exponent beyond any range")


def _integer(digits: str) -> int | UnrepresentableValue:
    return int(digits) if len(digits) <= _MAX_DIGITS else UnrepresentableValue("a number with thousands of digits")


def _no_constant(name: str) -> NoReturn:
    raise _malformed(f"{name} is no JSON")


def _too_deep() -> PayloadRejectedError:
    return _malformed(f"arrays and objects are nested more than {MAX_DEPTH} levels deep")


def _malformed(what: str) -> PayloadRejectedError:
    return PayloadRejectedError(
        ErrorCode.MALFORMED_JSON, f"the body is not JSON text that can be read: {what}", stage=Stage.PARSE
    )


def _lower(message: str) -> str:
    return message[:1].lower() + message[1:]
