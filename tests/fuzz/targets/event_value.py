"""Records that strangers wrote into the events topic, as `tail`, `find`, a dry run and the console read them.

The oracle: bytes are no event, or an event whose JSON can be written; and what was decoded can be encoded again.
"""

import io
import json

import fastavro

from schemas.track_event import EventReader, load_schema, track_json
from sternpost.local import samples
from sternpost.mapping import Event, Mapper

_SCHEMA = fastavro.parse_schema(load_schema())
_READ = EventReader.of_newest()


def _seeds() -> list[bytes]:
    outcomes = [
        Mapper(profile).map(json.dumps(payload).encode(), received_at_ms=1_700_000_000_000)
        for profile in ("rudderstack", "corrected")
        for payload in list(samples.one_of_each())[::7]
    ]
    return [outcome.value for outcome in outcomes if isinstance(outcome, Event)]


SEEDS = [*_seeds(), b"", b"\0\0\0\0\1", b"\1\0\0\0\1", b"\0\0\0\0\1" + b"\xff" * 40]
WORDS = [b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", b"\x02", b"\xc2\x85", b"\xed\xa0\x80"]


def check(data: bytes) -> None:
    try:
        event = _READ(data)
    except ValueError:
        return
    found = track_json(event)
    assert json.loads(json.dumps(found, ensure_ascii=False).encode()) == json.loads(json.dumps(found))
    again = io.BytesIO()
    fastavro.schemaless_writer(again, _SCHEMA, event)
    assert track_json(_READ(data[:5] + again.getvalue())) == found
