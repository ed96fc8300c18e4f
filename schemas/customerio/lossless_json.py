"""Parses the JSON text of a body without loss: with a fast parser if it is exact, with a slower one if it is not.

orjson rounds fractions and integers beyond 64 bits to floats, and rejects a byte order mark, lone surrogates and
numbers beyond a float's range. JSON allows these (https://www.rfc-editor.org/rfc/rfc8259), and `read_exactly` reads
them, more slowly.
"""

import json
import re
import sys
from decimal import Decimal, InvalidOperation
from typing import Any, NoReturn

import orjson

from schemas.error_codes import ErrorCode, PayloadRejectedError, Stage

MAX_DEPTH = 1024
"""The depth to which arrays and objects can be nested: orjson's limit. A deeper body could overflow the stack."""

_MAX_DIGITS = 4300
"""Python's own limit for converting digits to an integer, which takes time quadratic in their number:
https://docs.python.org/3/library/stdtypes.html#integer-string-conversion-length-limitation"""

# An unterminated string extends to the end of the text, so that each character is scanned once.
_STRING = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*(?:"|\\?\Z)', re.DOTALL)
_BRACKET = re.compile(r"[\[\]{}]")


# The standard library's parser counts nesting levels as Python calls, and 1000 calls are allowed by default.
sys.setrecursionlimit(max(sys.getrecursionlimit(), 4 * MAX_DEPTH))


class PrecisionLostError(Exception):
    """A field holds a float, whose digits are lost: read the body again with `read_exactly`."""


class UnrepresentableValue:
    """Replaces a value that no field can hold. It does no harm if no field uses it."""

    def __init__(self, what: str) -> None:
        """Keep `what`, a description of the value for messages."""
        self.what = what


class LoneSurrogateText(UnrepresentableValue):
    """Replaces a text that contains half of a surrogate pair."""

    def __init__(self) -> None:
        super().__init__("text with a lone surrogate, which UTF-8 cannot carry")


def read(body: bytes) -> Any:
    """Parse the JSON text `body`.

    Floats may be inexact: code that needs one raises `PrecisionLostError`, and its caller uses `read_exactly`. Of
    duplicate names the last one counts. Raises PayloadRejectedError `malformed_json`.
    """
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        if "depth limit" in error.msg:
            raise _too_deep() from None
    return read_exactly(body)


def read_exactly(body: bytes) -> Any:
    """Parse the JSON text `body`, with fractions as Decimal and integers of up to 4300 digits.

    A leading byte order mark is skipped. Text with lone surrogates becomes `LoneSurrogateText`, and a number that
    Decimal cannot hold becomes `UnrepresentableValue`. Raises PayloadRejectedError `malformed_json`, also for NaN
    and Infinity, which are not JSON.
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
    """Replace every text that UTF-8 cannot carry. Uses a list instead of recursion, because trees can be deep."""
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
    """Return whether UTF-8 can carry the text: it has no lone surrogates."""
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
    raise _malformed(f"{name} is not JSON")


def _too_deep() -> PayloadRejectedError:
    return _malformed(f"arrays and objects are nested more than {MAX_DEPTH} levels deep")


def _malformed(what: str) -> PayloadRejectedError:
    return PayloadRejectedError(
        ErrorCode.MALFORMED_JSON, f"the body is not JSON text that can be read: {what}", stage=Stage.PARSE
    )


def _lower(message: str) -> str:
    return message[:1].lower() + message[1:]
