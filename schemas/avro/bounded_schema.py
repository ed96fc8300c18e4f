"""Schemas that any bytes can be read with in bounded time and memory.

Readers take the schema whose id a record names from the registry, so whoever may write to both chooses schema and
bytes. With some schemas that is the end of a reader: fastavro follows a type that contains itself until the stack
overflows, reads a block of 2⁶² items if items take no bytes, and turns a decimal of a megabyte into digits for hours.
"""

from typing import Any

import fastavro.read

MOST_LEVELS = 8
"""How deep types may be in each other. A byte of a record becomes so many objects at most. Our schema has 7 levels."""

_PRIMITIVES: dict[str, Any] = {
    **{name: name for name in ("boolean", "long", "float", "double", "bytes", "string")},
    "int": {"type": "int", "logicalType": "sternpost-32-bits"},
}


def bounded(kind: Any, levels: int = MOST_LEVELS) -> Any:
    """Return the Avro type, as JSON, without all that reading does not need.

    Each value of it takes a byte or more, and each type within it is written where it is used, never named. Logical
    types are left out, as the specification has readers do with those that they do not know: `timestamp-millis` alone
    is kept. Raises ValueError if the type is of another kind, or has more levels.
    https://avro.apache.org/docs/1.12.0/specification/#logical-types
    """
    match kind if levels else None:
        case {"type": "long", "logicalType": "timestamp-millis"}:
            return {"type": "long", "logicalType": "timestamp-millis"}
        case str(name) | {"type": str(name)} if name in _PRIMITIVES:
            return _PRIMITIVES[name]
        case [*members]:
            return [member if member == "null" else bounded(member, levels - 1) for member in members]
        case {"type": "array", "items": items}:
            return {"type": "array", "items": bounded(items, levels - 1)}
        case {"type": "map", "values": values}:
            return {"type": "map", "values": bounded(values, levels - 1)}
        case {"type": "record", "name": _, "fields": [_, *_] as fields}:
            named = {key: kind[key] for key in ("type", "name", "namespace") if key in kind}
            return {**named, "fields": [_field(field, levels - 1) for field in fields]}
    raise ValueError("the schema has a type that readers do not take")


def _field(field: Any, levels: int) -> dict[str, Any]:
    match field:
        case {"name": str(name), "type": kind}:
            return {"name": name, "type": bounded(kind, levels)}
    raise ValueError("the schema has a field without a name or a type")


def _within_32_bits(value: int, *_: object) -> int:
    """Return the value of an `int`, of which fastavro reads 64 bits. Raises OverflowError if it has more than 32."""
    if not -(2**31) <= value < 2**31:
        raise OverflowError("an int has 32 bits")
    return value


# https://fastavro.readthedocs.io/en/latest/logical_types.html#custom-logical-types
fastavro.read.LOGICAL_READERS["int-sternpost-32-bits"] = _within_32_bits
