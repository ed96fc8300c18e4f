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
_LINKED = _record(["null", "shop.Order"], "next"), b"\x02" * 100_000 + b"\0"
"""fastavro overruns the stack, and the process ends."""

REGISTERED = [*((schema, _encode(schema, value)) for schema, value in _RECORDS), _LINKED]
"""Schemas that a registry takes, each with a record's Avro."""

_DEEP: Any = "int"
for _ in range(10_000):
    _DEEP = {"type": "array", "items": _DEEP}

OTHERS: dict[str, tuple[dict[str, Any], bytes]] = {
    **{str(schema): (schema, _encode(schema, value)) for schema, value in _RECORDS},
    "JSON Schema": ({"type": "object", "properties": {}}, b"{}"),
    "no schema": ({}, b""),
    "an enum of our name": ({"type": "enum", "name": "sternpost.events.TrackEvent", "symbols": ["A"]}, b"\0"),
    "a linked list": _LINKED,
    "a schema of 10,000 levels": (_record(_DEEP), b"\0"),
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
    "addedDecimal": "1.20",
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
