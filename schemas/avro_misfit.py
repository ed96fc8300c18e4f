"""Why a value does not fit an Avro schema: which field, and what it should be.

Far slower than writing the value: it is asked where writing failed, and to choose between the branches of a union.
"""

import numbers
import struct
from collections.abc import Mapping
from typing import Any, NamedTuple

from fastavro.write import LOGICAL_WRITERS

Names = Mapping[str, Any]
"""Schemas of named types by their full names, as `fastavro.parse_schema` collects them."""

BITS = {"int": 32, "long": 64}


class Misfit(NamedTuple):
    """Where a value does not fit, and how. Neither holds anything of the value itself: values are people's data."""

    path: str
    """As `properties.recipients[0].device_id`; `{}` for whichever key of a map; empty for the whole value."""
    problem: str


def find_misfit(schema: Any, names: Names, value: Any, path: str = "") -> Misfit | None:
    """The first thing about the value that does not fit the schema (a parsed one); None where all fits.

    It takes what fastavro takes, except that text is no date, a `bool` no number, and `bytes` no array.
    """
    if isinstance(schema, list):
        return _of_union(schema, names, value, path)
    kind = schema if isinstance(schema, str) else schema["type"]
    if kind in names and isinstance(schema, str):
        return find_misfit(names[kind], names, value, path)
    prepare = LOGICAL_WRITERS.get(f"{kind}-{schema.get('logicalType')}") if isinstance(schema, dict) else None
    if prepare and not isinstance(value, str):
        try:
            value = prepare(value, schema)
        except (ValueError, TypeError, OverflowError, OSError):
            return Misfit(path, f"cannot be written as {schema['logicalType']}")
    match kind:
        case "record" | "error":
            return _of_record(schema, names, value, path)
        case "array":
            if isinstance(value, list | tuple):
                items = ((schema["items"], item, f"{path}[{index}]") for index, item in enumerate(value))
                return _first(items, names)
        case "map":
            if isinstance(value, Mapping):
                keys = (("string", key, f"{path}'s key") for key in value)
                values = ((schema["values"], item, f"{path}{{}}") for item in value.values())
                return _first(keys, names) or _first(values, names)
        case _:
            return _of_plain(kind, schema, value, path)
    return Misfit(path, f"must be of type {kind}, not {_name(value)}")


def _of_record(schema: Any, names: Names, value: Any, path: str) -> Misfit | None:
    if not isinstance(value, Mapping):
        return Misfit(path, f"must be of type {schema['name']}, not {_name(value)}")
    for field in schema["fields"]:
        at = f"{path}.{field['name']}" if path else field["name"]
        if field["name"] in value:
            if misfit := find_misfit(field["type"], names, value[field["name"]], at):
                return misfit
        elif "default" not in field:
            return Misfit(at, "is missing, and has no default")
    return None


def _of_union(branches: list[Any], names: Names, value: Any, path: str) -> Misfit | None:
    misfits = []
    for branch in branches:
        misfit = find_misfit(branch, names, value, path)
        if misfit is None:
            return None
        if branch != "null":
            misfits.append(misfit)
    return misfits[0] if len(misfits) == 1 else Misfit(path, f"must be of one of the union's types, not {_name(value)}")


def _of_plain(kind: str, schema: Any, value: Any, path: str) -> Misfit | None:
    number = not isinstance(value, bool)
    match kind:
        case "null":
            good = value is None
        case "boolean":
            good = isinstance(value, bool)
        case "int" | "long":
            good = number and isinstance(value, numbers.Integral)
            if good and not -1 << BITS[kind] - 1 <= value < 1 << BITS[kind] - 1:
                return Misfit(path, f"is outside the range of type {kind}")
        case "float" | "double":
            good = number and isinstance(value, numbers.Real)
            if good and not _packs(kind, value):
                return Misfit(path, f"is outside the range of type {kind}")
        case "bytes":
            good = isinstance(value, bytes | bytearray)
        case "fixed":
            good = isinstance(value, bytes)
            if good and len(value) != schema["size"]:
                return Misfit(path, f"must have {schema['size']} bytes, not {len(value)}")
        case "string" | "enum":
            good = isinstance(value, str)
            if good and kind == "enum" and value not in schema["symbols"]:
                return Misfit(path, f"is no symbol of {schema['name']}")
            if good and not _is_unicode(value):
                return Misfit(path, "is no Unicode text: it has half of a surrogate pair")
        case _:
            good = True  # not ours to judge
    return None if good else Misfit(path, f"must be of type {kind}, not {_name(value)}")


def _first(parts: Any, names: Names) -> Misfit | None:
    return next(filter(None, (find_misfit(schema, names, value, path) for schema, value, path in parts)), None)


def _packs(kind: str, value: Any) -> bool:
    try:
        struct.pack("<f" if kind == "float" else "<d", value)
    except (OverflowError, struct.error):
        return False
    return True


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _name(value: Any) -> str:
    return type(value).__name__
