"""The mapping as a whole, by `sternpost.Mapper`: any bytes become an event or a dead letter, in both profiles.

The oracle of the encoder is fastavro's writer, of the rest what must hold for any event.
"""

import io
import json

import fastavro

from schemas.customerio.event_identity import identify
from schemas.error_codes import ErrorCode
from schemas.track_event import load_schema
from sternpost.local import samples
from sternpost.mapping import DeadLetter, Event, Mapper
from sternpost.operations.marked_payload import excerpt, lines
from tests.fuzz.taker import Taker

_SCHEMA = fastavro.parse_schema(load_schema())
_MAPPERS = Mapper("rudderstack", schema_id=7), Mapper("corrected", schema_id=7)
_OURS = {ErrorCode.INTERNAL_ERROR.value, ErrorCode.UNENCODABLE.value}
_TIMES_MS = (0, 1_700_000_000_000, 253_402_300_799_999)

SEEDS = [
    *(b"\x01" + json.dumps(payload).encode() for payload in samples.one_of_each()),
    b'\x00{"event_type":"email_sent","timestamp":1.5,"data":{"customer_id":1,"headers":{"a":["b",1],"c":"d"}}}',
    b'\x02{"timestamp":"2026-01-01T00:00:00.999999+23:59","data":{"recipients":{"device_id":2},"identifiers":{"id":0}}}',
    b'\x01{"object_type":null,"object_type_type":"x","metric":1,"data":{"email_address":"a@b","recipient":"+1 (2)"}}',
    b'\x01{"timestamp":253402300799,"data":{"customer_id":" ","identifiers":{"email":"\\ud800","cio_id":"\\u0000"}}}',
]
WORDS = [
    *(f'"{name}"'.encode() for payload in samples.one_of_each() for name in [*payload, *payload["data"]]),
    *(b'"identifiers"', b'"cio_id"', b'"headers"', b'"recipients"', b'"timestamp":', b"9223372036854775808", b"1.0"),
]
WORDS = sorted(set(WORDS))


def check(data: bytes) -> None:
    taker = Taker(data)
    received_at_ms = _TIMES_MS[taker.number(len(_TIMES_MS))]
    body = taker.rest()
    for mapper in _MAPPERS:
        outcome = mapper.map(body, received_at_ms=received_at_ms)
        assert outcome == mapper.map(body, received_at_ms=received_at_ms)
        if isinstance(outcome, DeadLetter):
            assert outcome.code not in _OURS, outcome.message
            outcome.message.encode()
            lines(body, outcome.field)
            excerpt(body, outcome.field)
        else:
            _check_event(outcome, body)


def _check_event(event: Event, body: bytes) -> None:
    assert event.value[:5] == b"\0\0\0\0\x07"
    record = event.as_record()
    again = io.BytesIO()
    fastavro.schemaless_writer(again, _SCHEMA, record)
    assert again.getvalue() == event.value[5:]
    as_json = event.as_json()
    assert json.loads(json.dumps(as_json).encode()) == as_json
    assert event.key.decode() == (as_json.get("userId") or as_json["anonymousId"])
    assert as_json["messageId"] == identify(body).event_id
