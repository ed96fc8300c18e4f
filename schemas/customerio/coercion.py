"""A JSON value in a field's type, exactly, or not at all.

Each reader takes the value (not None) and its path in the body, and returns it in the field's type. It raises
PayloadRejectedError `invalid_field`, naming the path, where the value cannot be carried exactly, and
`PrecisionLostError` for a float, whose digits are already lost (`schemas.customerio.lossless_json`).
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

Reader = Callable[[Any, str], Any]


def text(value: Any, path: str) -> str:
    """Text as it is; an integer as its decimal digits. No fraction: 42.0 could be "42" or "42.0", and is neither."""
    if type(value) is str:
        return value
    if type(value) is int:
        return str(value)
    raise _invalid(path, "text", value)


def whole(value: Any, path: str) -> int:
    """An integer of 64 bits: as such, as a number without a fraction (42.0), or as text in its one canonical form."""
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
    """true or false, as such or as text."""
    if type(value) is bool:
        return value
    if type(value) is str and value in ("true", "false"):
        return value == "true"
    raise _invalid(path, "true or false", value)


def header_lists(value: Any, path: str) -> dict[str, list[str]]:
    """An email's headers, {name: [values]}; one value may stand without its list. A null value counts as absent."""
    if type(value) is not dict:
        raise _invalid(path, "an object of lists of text", value)
    headers = {}
    for name, values in value.items():
        if not is_unicode(name):
            raise PayloadRejectedError(ErrorCode.INVALID_FIELD, f"{path} has a name with a lone surrogate", path)
        if values is not None:
            # A name is whatever someone wrote, so an odd one is not repeated in the path.
            at = f"{path}.{name}" if _PLAIN_NAME.fullmatch(name) else f"{path}.*"
            listed = values if type(values) is list else [values]
            headers[name] = [text(item, f"{at}[{i}]") for i, item in enumerate(listed)]
    return headers


def records(fields: dict[str, Reader]) -> Reader:
    """A reader of a list of objects; fields but these are passed over. One object may stand without its list."""

    def read(value: Any, path: str) -> list[dict[str, Any]]:
        if type(value) is dict:
            return [record(value, path)]
        if type(value) is not list:
            raise _invalid(path, "a list of objects", value)
        return [record(item, f"{path}[{i}]") for i, item in enumerate(value)]

    def record(value: Any, path: str) -> dict[str, Any]:
        if type(value) is not dict:
            raise _invalid(path, "an object", value)
        return {
            name: item if type(item) is str and reader is text else reader(item, f"{path}.{name}")
            for name, reader in fields.items()
            if (item := value.get(name)) is not None
        }

    return read


def mapping(value: Any, path: str) -> dict[str, Any]:
    """An object; absent and null are an empty one."""
    if value is None:
        return {}
    if type(value) is dict:
        return value
    raise _invalid(path, "an object", value)


def name_of(value: Any, path: str) -> str | None:
    """Text that is to name someone or something; None where it is absent, null, or blank: it names nobody then."""
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
