"""Schemas in a registry that are not this version's: other programs', and a later version's."""

import io
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import fastavro

from schemas.avro.wire_format import frame
from schemas.track_event import EventReader, load_schema


def _record(kind: Any, name: str = "timestamp") -> dict[str, Any]:
    return {"type": "record", "name": "Order", "namespace": "shop", "fields": [{"name": name, "type": kind}]}


def _encode(schema: Any, value: Any) -> bytes:
    encoded = io.BytesIO()
    fastavro.schemaless_writer(encoded, fastavro.parse_schema(schema), value)
    return encoded.getvalue()


_RECORDS: list[tuple[Any, Any]] = [
    (_record("string"), {"timestamp": "today"}),
    (_record({"type": "int", "logicalType": "date"}), {"timestamp": date(2026, 1, 1)}),
    (_record("bytes", "context"), {"context": b"\xff"}),
    (_record("string", "context"), {"context": "a"}),
    ({"type": "string"}, "text"),
    ({"type": "array", "items": "int"}, [1]),
    ({**_record("string"), "name": "TrackEvent", "namespace": "sternpost.events"}, {"timestamp": "today"}),
]


def with_first(kind: Any) -> dict[str, Any]:
    """Return our schema with another field before all others."""
    ours = load_schema()
    return {**ours, "fields": [{"name": "first", "type": kind}, *ours["fields"]]}


def encode_long(number: int) -> bytes:
    return _encode("long", number)


def _twice(levels: int) -> Any:
    """Return records that each hold the one before twice: of no bytes, 2^levels of the first."""
    kind: Any = {"type": "record", "name": "R0", "fields": []}
    for level in range(1, levels + 1):
        fields = [{"name": "a", "type": kind}, {"name": "b", "type": f"R{level - 1}"}]
        kind = {"type": "record", "name": f"R{level}", "fields": fields}
    return kind


_LINKED = _record(["null", "shop.Order"], "next"), b"\x02" * 100_000 + b"\0"
"""fastavro overruns the stack, and the process ends."""

_MANY = encode_long(2**62)
_OUR_NAME = "sternpost.events.TrackEvent"
_EMPTY = {"type": "record", "name": "Empty", "fields": []}
_NODE = {"type": "record", "name": "Node", "fields": [{"name": "next", "type": ["null", "Node"]}]}

ENDLESS: dict[str, tuple[dict[str, Any], bytes]] = {
    "an event in itself": (with_first(["null", _OUR_NAME]), b"\x02" * 100_000 + b"\0"),
    "a list of itself": (with_first({"type": "array", "items": _OUR_NAME}), b"\x02" * 100_000),
    "a linked list": (with_first(_NODE), b"\x02" * 100_000 + b"\0"),
    "nulls without number": (with_first({"type": "array", "items": "null"}), _MANY),
    "empty records without number": (with_first({"type": "array", "items": _EMPTY}), _MANY),
    "records of null without number": (
        with_first({"type": "array", "items": {**_EMPTY, "fields": [{"name": "a", "type": "null"}]}}),
        _MANY,
    ),
    "twice as many with each level": (with_first(_twice(62)), b""),
}
"""Name → a schema of our name that a registry takes, and a record that is read with it for ever or until it crashes."""

REGISTERED = [
    *((schema, _encode(schema, value)) for schema, value in _RECORDS),
    _LINKED,
    *(ENDLESS[name] for name in ("an event in itself", "a list of itself", "nulls without number")),
]
"""Schemas that a registry takes, each with a record's Avro."""

_DEEP: Any = "int"
for _ in range(10_000):
    _DEEP = {"type": "array", "items": _DEEP}

OTHERS: dict[str, tuple[dict[str, Any], bytes]] = {
    **{str(schema): (schema, _encode(schema, value)) for schema, value in _RECORDS},
    "JSON Schema": ({"type": "object", "properties": {}}, b"{}"),
    "no schema": ({}, b""),
    "an enum of our name": ({"type": "enum", "name": "sternpost.events.TrackEvent", "symbols": ["A"]}, b"\0"),
    "another program's linked list": _LINKED,
    **ENDLESS,
    "fixed without bytes": (with_first({"type": "array", "items": {"type": "fixed", "name": "F", "size": 0}}), _MANY),
    "a schema that says it was parsed": (
        {**with_first(["null", _OUR_NAME]), "name": _OUR_NAME, "__fastavro_parsed__": True, "__named_schemas": {}},
        b"\x02" * 100_000,
    ),
    "a field of null": (with_first("null"), b""),
    "a field without a type": ({**load_schema(), "fields": [{"name": "first"}]}, b""),
    "fields that are no list": ({**load_schema(), "fields": 1}, b""),
    "a type that is a number": (with_first(7), b""),
    "a schema of 10,000 levels": (with_first(_DEEP), b"\0"),
}
"""Name → a schema of another program, and a record's Avro."""


ADDED: dict[str, tuple[Any, Any]] = {
    "addedTime": ({"type": "long", "logicalType": "timestamp-millis"}, datetime(2026, 1, 31, 12, tzinfo=UTC)),
    "addedDecimal": ({"type": "bytes", "logicalType": "decimal", "precision": 4, "scale": 2}, Decimal("1.20")),
    "addedBytes": ("bytes", b"a\xff"),
    "addedNumber": ("double", float("nan")),
    "addedList": ({"type": "array", "items": ["null", {"type": "map", "values": "bytes"}]}, [None, {"a": b"b"}]),
}
ADDED_JSON = {
    "addedTime": "2026-01-31T12:00:00.000Z",
    "addedDecimal": "x",
    "addedBytes": "a\\xff",
    "addedNumber": "nan",
    "addedList": [None, {"a": "b"}],
}
LATER: dict[str, Any] = load_schema()
"""A version that adds fields."""
LATER["fields"] += [{"name": name, "type": kind} for name, (kind, _) in ADDED.items()]


def later(event: bytes) -> bytes:
    """Return the event as that version writes it."""
    known = EventReader.of_newest()(event)
    return frame(1) + _encode(LATER, known | {name: value for name, (_, value) in ADDED.items()})
