"""Schemas that strangers registered under our name, and records for them, as the readers of the events topic take them.

The oracle: whatever the schema, a byte becomes as many objects as types may be deep in each other, and no more.
"""

import json
from contextlib import suppress
from typing import Any

from schemas.avro.bounded_schema import MOST_LEVELS
from schemas.avro.wire_format import frame
from schemas.track_event import EventReader, track_json
from sternpost.local import samples
from sternpost.mapping import Event, Mapper
from tests.fuzz.taker import Taker, piece
from tests.support import other_schemas

_EVENT = Mapper("corrected").map(json.dumps(next(iter(samples.one_of_each()))).encode(), received_at_ms=1)
assert isinstance(_EVENT, Event)
_REST = _EVENT.value[5:]

SEEDS = [
    piece(json.dumps(kind).encode()) + encoded
    for kind, encoded in [
        ("int", b"\2"),
        (["null", "string"], b"\2\2a"),
        ({"type": "array", "items": {"type": "map", "values": ["null", "bytes"]}}, b"\2\2\2a\0\0\0"),
        ({"type": "array", "items": "null"}, b"\xa0\x9c\x01\0"),
        ({"type": "array", "items": {"type": "record", "name": "A", "fields": []}}, b"\xa0\x9c\x01\0"),
        ({"type": "record", "name": "A", "fields": [{"name": "a", "type": ["null", "A"]}]}, b"\2\2\0"),
        ({"type": "bytes", "logicalType": "decimal", "precision": 4, "scale": 2}, b"\2x"),
        ({"type": "long", "logicalType": "timestamp-millis"}, b"\2"),
        ({"type": "enum", "name": "A", "symbols": ["A"]}, b"\0"),
        ({"type": "fixed", "name": "A", "size": 0}, b""),
    ]
]
WORDS = [
    *(b'{"type":"%s"' % name for name in (b"record", b"array", b"map", b"enum", b"fixed", b"long")),
    *(b'"%s"' % name for name in (b"null", b"int", b"string", b"bytes", b"sternpost.events.TrackEvent")),
    *(b',"%s":' % name for name in (b"items", b"values", b"fields", b"name", b"size", b"logicalType", b"namespace")),
    b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
]


def check(data: bytes) -> None:
    taker = Taker(data)
    try:
        kind = json.loads(taker.piece())
    except (ValueError, RecursionError):
        return
    encoded = taker.rest()
    with suppress(ValueError):
        event = EventReader(lambda _: other_schemas.with_first(kind))(frame(7) + encoded + _REST)
        assert _objects(event["first"]) <= MOST_LEVELS * (len(encoded) + len(_REST))
        json.dumps(track_json(event), allow_nan=False).encode()


def _objects(value: Any) -> int:
    match value:
        case dict():
            return 1 + sum(map(_objects, value.values()))
        case list():
            return 1 + sum(map(_objects, value))
    return 1
