"""Coerces a JSON value to a field's type, exactly or not at all.

A coercion takes a value (not None) and its path in the body, and returns the value in the field's type. It raises
PayloadRejectedError `invalid_field`, naming the path, if the value cannot be carried exactly, and PrecisionLostError
for a float, whose digits are already lost (`schemas.customerio.lossless_json`).
"""

import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from schemas.customerio.lossless_json import PrecisionLostError, UnrepresentableValue, is_unicode
from schemas.error_codes import ErrorCode, PayloadRejectedError

MAX_LONG = 2**63 - 1
MIN_LONG = -(2**63)

_WHOLE = re.compile(r"0|-?[1-9][0-9]{0,18}")
_PLAIN_NAME = re.compile(r"[A-Za-z0-9_-]{1,100}")

Coercion = Callable[[Any, str], Any]


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
