"""Reads a body without loss: its JSON text, and each value in the type of its field, exactly or not at all.

orjson rounds fractions and integers beyond 64 bits to floats, and rejects a byte order mark, lone surrogates and
numbers beyond a float's range. JSON allows these (https://www.rfc-editor.org/rfc/rfc8259), and `read_exactly` reads
them, more slowly.

A coercion (`text`, `int64`, `occurred_ms` …) takes a value (not None) and its path in the body, and returns the value
in the field's type. It raises PayloadRejectedError, naming the path, if the value cannot be carried exactly, and
PrecisionLostError for a float, whose digits are already lost.
"""

import json
import re
import sys
from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import ROUND_DOWN, Decimal, InvalidOperation
from itertools import accumulate
from typing import Any, NoReturn, TypeVar

import orjson

from schemas.error_codes import ErrorCode, PayloadRejectedError, Stage

MAX_DEPTH = 1024
"""The depth to which arrays and objects can be nested: orjson's limit. A deeper body could overflow the stack."""

_MAX_DIGITS = 4300
"""Python's own limit for converting digits to an integer, which takes time quadratic in their number:
https://docs.python.org/3/library/stdtypes.html#integer-string-conversion-length-limitation"""

MAX_LONG = 2**63 - 1
MIN_LONG = -(2**63)

_WHOLE = re.compile(r"0|-?[1-9][0-9]{0,18}")
_PLAIN_NAME = re.compile(r"[A-Za-z0-9_-]{1,100}")

Coercion = Callable[[Any, str], Any]

MAX_S = 253_402_300_799
"""The last second of the year 9999."""

_Number = TypeVar("_Number", int, Decimal)

_EPOCH = datetime(1970, 1, 1)
_MILLISECOND = timedelta(milliseconds=1)
_DIGITS = re.compile(r"[0-9]+")
_ISO = re.compile(
    r"""\d{4}(?:-\d\d-\d\d|\d{4})                                       # a date, extended or basic
        (?:[T ](?:[01]\d|2[0-3])(?::?[0-5]\d(?::?[0-5]\d(?:[.,]\d+)?)?)? # a time
        (?:Z|[+-](?:[01]\d|2[0-3])(?::?[0-5]\d)?)?)?                     # a zone""",
    re.ASCII | re.VERBOSE | re.IGNORECASE,
)

# An unterminated string extends to the end of the text, so that each character is scanned once.
_STRING = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*(?:"|\\?\Z)', re.DOTALL)
_NO_BRACKETS = bytes(byte for byte in range(256) if byte not in b"[]{}")
_STEP = [1 if byte in b"[{" else -1 for byte in range(256)]
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


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
        return orjson.loads(body.removeprefix(_BYTE_ORDER_MARK))
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
    return _without_surrogates(tree) if _SURROGATE.search(text) else tree


def _depth(text: str) -> int:
    if text.count("[") + text.count("{") <= MAX_DEPTH:
        return 0  # deep or not, it is not too deep
    brackets = _STRING.sub("", text).encode().translate(None, _NO_BRACKETS)
    return max(accumulate(map(_STEP.__getitem__, brackets)), default=0)


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
            elif value and type(value) in (dict, list):
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


def text(value: Any, path: str) -> str:
    """Return text as it is, and an integer as decimal digits.

    A number with a fraction is rejected: 42.0 could be "42" or "42.0".
    """
    if type(value) is str:
        return value
    if type(value) is int:
        return str(value)
    raise _invalid(path, "text", value)


def int64(value: Any, path: str) -> int:
    """Return a 64-bit integer, given as an integer, a number with fraction 0 (42.0), or text in canonical form."""
    number = value
    if (type(value) is str and _WHOLE.fullmatch(value)) or (
        type(value) is Decimal and MIN_LONG <= value <= MAX_LONG and value == value.to_integral_value()
    ):
        number = int(value)
    if type(number) is not int:
        raise _invalid(path, "a whole number", value)
    if not MIN_LONG <= number <= MAX_LONG:
        raise PayloadRejectedError(ErrorCode.INVALID_FIELD, f"{path} is a whole number beyond 64 bits", path)
    return number


def boolean(value: Any, path: str) -> bool:
    """Return a boolean, given as true or false or as the text of either."""
    if type(value) is bool:
        return value
    if type(value) is str and value in ("true", "false"):
        return value == "true"
    raise _invalid(path, "true or false", value)


def header_lists(value: Any, path: str) -> dict[str, list[str]]:
    """Return an email's headers, {name: [values]}. A single value may come without a list; null counts as absent."""
    if type(value) is not dict:
        raise _invalid(path, "an object of lists of text", value)
    headers = {}
    for name, values in value.items():
        if not is_unicode(name):
            raise PayloadRejectedError(ErrorCode.INVALID_FIELD, f"{path} has a name with a lone surrogate", path)
        if values is not None:
            # A name can be any text, so the path repeats only a plain one.
            at = f"{path}.{name}" if _PLAIN_NAME.fullmatch(name) else f"{path}.*"
            listed = values if type(values) is list else [values]
            headers[name] = [text(item, f"{at}[{i}]") for i, item in enumerate(listed)]
    return headers


def records(fields: dict[str, Coercion]) -> Coercion:
    """Return a coercion of a list of objects. Other fields are skipped; a single object may come without a list."""

    def coerce(value: Any, path: str) -> list[dict[str, Any]]:
        if type(value) is dict:
            return [record(value, path)]
        if type(value) is not list:
            raise _invalid(path, "a list of objects", value)
        return [record(item, f"{path}[{i}]") for i, item in enumerate(value)]

    def record(value: Any, path: str) -> dict[str, Any]:
        if type(value) is not dict:
            raise _invalid(path, "an object", value)
        return {
            name: item if type(item) is str and coercion is text else coercion(item, f"{path}.{name}")
            for name, coercion in fields.items()
            if (item := value.get(name)) is not None
        }

    return coerce


def occurred_ms(value: Any, path: str) -> int | None:
    """Return when an event occurred, in Unix milliseconds.

    The value can be a number of seconds, a text of digits (seconds), or an ISO-8601 text. ISO-8601 without a zone is
    UTC, and a date alone is its first moment; anything finer than a millisecond is cut off. Returns None for null and
    for any other text. Raises PayloadRejectedError `invalid_timestamp` for any other type and for a time before 1970 or
    after 9999, and PrecisionLostError for a float.
    """
    if value is None:
        return None
    if type(value) is int:
        return _within(value, path) * 1000
    if type(value) is str:
        return _from_text(value, path)
    if type(value) is Decimal:
        return int(_within(value, path).quantize(Decimal("0.001"), ROUND_DOWN) * 1000)
    if type(value) is float:
        raise PrecisionLostError
    if type(value) is LoneSurrogateText:
        return None
    raise PayloadRejectedError(
        ErrorCode.INVALID_TIMESTAMP, f"{path} must be a number of seconds, or text with a time in ISO-8601", path
    )


def _from_text(value: str, path: str) -> int | None:
    if _DIGITS.fullmatch(value):
        # There may be more digits than Python converts to an integer. 13 significant digits are after 9999.
        significant = value.lstrip("0")[:13]
        return _within(int(significant or "0"), path) * 1000
    if not _ISO.fullmatch(value):
        return None
    try:
        moment = datetime.fromisoformat(value.upper())
    except ValueError:  # February 30, for example
        return None
    offset = moment.utcoffset() or timedelta()
    since = moment.replace(tzinfo=None) - _EPOCH - offset
    _within(since // timedelta(seconds=1), path)
    return since // _MILLISECOND


def _within(seconds: _Number, path: str) -> _Number:
    if 0 <= seconds < MAX_S + 1:
        return seconds
    hint = "; it looks like milliseconds, but must be seconds" if seconds > MAX_S else ""
    raise PayloadRejectedError(
        ErrorCode.INVALID_TIMESTAMP, f"{path} is {'after 9999' if seconds > 0 else 'before 1970'}{hint}", path
    )


def object_or_empty(value: Any, path: str) -> dict[str, Any]:
    """Return an object, or an empty one for null or an absent value."""
    if value is None:
        return {}
    if type(value) is dict:
        return value
    raise _invalid(path, "an object", value)


def nonblank_text(value: Any, path: str) -> str | None:
    """Return text that identifies someone or something, or None if it is absent, null or blank."""
    if value is None:
        return None
    if type(value) is not str:
        value = text(value, path)
    return None if not value or value.isspace() else value


def _invalid(path: str, wanted: str, value: Any) -> PayloadRejectedError:
    if type(value) is float:
        raise PrecisionLostError
    return PayloadRejectedError(ErrorCode.INVALID_FIELD, f"{path} must be {wanted}; it is {_kind(value)}", path)


def _kind(value: Any) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "true or false"
        case str():
            return "text" if value else "empty text"
        case int():
            return "a number"
        case Decimal():
            return "a number with a fraction or an exponent"
        case dict():
            return "an object"
        case list():
            return "a list"
        case UnrepresentableValue():
            return value.what
    return "something else"
