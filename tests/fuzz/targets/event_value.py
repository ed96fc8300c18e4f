"""Records that strangers wrote into the events topic, as `tail`, `find`, a dry run and the console read them.

The oracle: bytes are no event, or an event whose JSON can be written; and what was decoded can be encoded again. The
schema id says whose schema it is: this version's, a later one's, or another program's, of which nothing is an event.
"""

import io
import json

import fastavro

from schemas.avro.bounded_schema import bounded
from schemas.avro.wire_format import frame
from schemas.track_event import EventReader, load_schema, track_json
from sternpost.local import samples
from sternpost.mapping import Event, Mapper
from tests.support import other_schemas

_SCHEMAS = [load_schema(), other_schemas.LATER, *(schema for schema, _ in other_schemas.OTHERS.values())]
_PARSED = [fastavro.parse_schema(bounded(schema)) for schema in _SCHEMAS[:2]]
_READ = EventReader(lambda schema_id: _SCHEMAS[schema_id % len(_SCHEMAS)])


def _seeds() -> list[bytes]:
    outcomes = [
        Mapper(profile).map(json.dumps(payload).encode(), received_at_ms=1_700_000_000_000)
        for profile in ("rudderstack", "corrected")
        for payload in list(samples.one_of_each())[::7]
    ]
    return [outcome.value for outcome in outcomes if isinstance(outcome, Event)]


SEEDS = [
    *_seeds(),
    *map(other_schemas.later, _seeds()[:3]),
    *(frame(number) + payload[:99] for number, (_, payload) in enumerate(other_schemas.OTHERS.values(), start=2)),
    b"",
    b"\0\0\0\0\0",
    b"\1\0\0\0\1",
    b"\0\0\0\0\0" + b"\xff" * 40,
]
WORDS = [b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", b"\x02", b"\xc2\x85", b"\xed\xa0\x80"]


def check(data: bytes) -> None:
    try:
        event = _READ(data)
    except ValueError:
        return
    schema = int.from_bytes(data[1:5], "big") % len(_SCHEMAS)
    assert schema < len(_PARSED), "another program's record is an event"
    found = track_json(event)
    text = json.dumps(found, ensure_ascii=False, allow_nan=False)
    assert json.loads(text.encode()) == json.loads(json.dumps(found))
    again = io.BytesIO()
    fastavro.schemaless_writer(again, _PARSED[schema], event)
    assert track_json(_READ(data[:5] + again.getvalue())) == found
