"""The event's schema and its JSON form."""

import io
import json
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import fastavro
import pytest

from schemas.avro.bounded_schema import MOST_LEVELS, bounded
from schemas.avro.wire_format import frame
from schemas.track_event import MOST_SCHEMAS, SCHEMA_FILE, SCHEMA_FILES, EventReader, iso, load_schema, track_json
from sternpost.local import samples
from sternpost.mapping import Event, Mapper
from tests.support import other_schemas


def test_versions_are_counted_from_one_and_the_newest_is_loaded() -> None:
    assert [file.name for file in SCHEMA_FILES] == [
        f"track_event.v{version}.avsc" for version in range(1, len(SCHEMA_FILES) + 1)
    ]
    assert SCHEMA_FILES[-1] == SCHEMA_FILE
    assert load_schema() == json.loads(SCHEMA_FILE.read_text("utf-8"))


@pytest.mark.parametrize("file", SCHEMA_FILES, ids=lambda file: file.name)
def test_every_version_is_a_schema(file: Path) -> None:
    schema = json.loads(file.read_text("utf-8"))
    assert schema["namespace"] + "." + schema["name"] == "sternpost.events.TrackEvent"
    fastavro.parse_schema(schema)


def test_any_time_that_a_record_may_have_is_written() -> None:
    """The timestamp of a Kafka record is any 64-bit number."""
    assert iso(0) == "1970-01-01T00:00:00.000Z"
    assert iso(-1) == "1969-12-31T23:59:59.999Z"
    assert iso(2**63 - 1) == "9999-12-31T23:59:59.999Z"
    assert iso(-(2**63)) == "0001-01-01T00:00:00.000Z"


def test_json_has_iso_times_and_nothing_null() -> None:
    moment = datetime(2026, 1, 31, 12, 0, 0, 250_000, tzinfo=UTC)
    event = {
        "type": "track",
        "userId": None,
        "timestamp": 253_402_300_799_999,
        "receivedAt": moment,
        "sentAt": None,
        "context": {"traits": {"email": None, "phone": None}, "library": {"name": "unknown"}},
        "properties": {
            "link": {"url": None, "id": 0},
            "recipients": [{"device_id": None}, {"device_id": ""}],
            "machine": False,
            "headers": {"timestamp": ["1"], "none": []},
            "map": {},
        },
    }
    assert track_json(event) == {
        "type": "track",
        "timestamp": "9999-12-31T23:59:59.999Z",
        "receivedAt": "2026-01-31T12:00:00.250Z",
        "context": {"library": {"name": "unknown"}},
        "properties": {
            "link": {"id": 0},
            "recipients": [{}, {"device_id": ""}],
            "machine": False,
            "headers": {"timestamp": ["1"], "none": []},
            "map": {},
        },
    }


def _event() -> bytes:
    payload = json.dumps(next(iter(samples.one_of_each()))).encode()
    outcome = Mapper("corrected", schema_id=7).map(payload, received_at_ms=1_700_000_000_000)
    assert isinstance(outcome, Event)
    return outcome.value


def test_a_reader_keeps_few_schemas() -> None:
    """The ids are those of the records, which anyone may have written: 2³¹ of them fit into no memory."""
    asked: Counter[int] = Counter()

    def schema_by_id(schema_id: int) -> dict[str, Any]:
        asked[schema_id] += 1
        return load_schema()

    read, value = EventReader(schema_by_id), _event()
    for schema_id in [0, *range(MOST_SCHEMAS), *range(MOST_SCHEMAS + 1), 0]:
        assert read(frame(schema_id) + value[5:]) == read(value[:1] + frame(schema_id)[1:] + value[5:])
    assert asked[0] == 2
    assert asked[1] == 1


def test_a_schema_that_is_not_there_may_come_later_and_one_that_is_stays_what_it_is() -> None:
    answers = iter([None, other_schemas.OTHERS["no schema"][0], None, load_schema()])
    read = EventReader(lambda _: next(answers))
    with pytest.raises(ValueError, match="no schema 7"):
        read(_event())
    for _ in range(3):
        with pytest.raises(ValueError, match=r"schema 7 is not a sternpost\.events\.TrackEvent"):
            read(_event())
    with pytest.raises(ValueError, match="no schema 8"):
        read(frame(8) + _event()[5:])
    assert track_json(read(frame(8) + _event()[5:])) == track_json(EventReader.of_newest()(_event()))


@pytest.mark.parametrize("name", other_schemas.OTHERS)
def test_another_programs_record_is_not_an_event(name: str) -> None:
    schema, payload = other_schemas.OTHERS[name]
    read = EventReader(lambda _: schema)
    for _ in range(2):
        with pytest.raises(ValueError, match=r"schema 7"):
            read(frame(7) + payload)


@pytest.mark.parametrize("name", other_schemas.ENDLESS)
def test_a_record_that_would_be_read_for_ever_is_not_an_event(name: str) -> None:
    """Whoever may write to the registry can register such a schema under our name."""
    schema, payload = other_schemas.ENDLESS[name]
    fastavro.parse_schema(schema)
    with pytest.raises(ValueError, match="readers do not take"):
        bounded(schema)  # else the next line ends the tests
    with pytest.raises(ValueError, match="schema 7 is not"):
        EventReader(lambda _: schema)(frame(7) + payload + _event()[5:])


def test_types_may_be_as_deep_as_ours_and_not_much_deeper() -> None:
    kind: Any = "string"
    for _ in range(MOST_LEVELS - 2):
        kind = {"type": "array", "items": kind}
    event = b"\0" + _event()[5:]
    assert EventReader(lambda _: other_schemas.with_first(kind))(frame(7) + event)["first"] == []
    deeper = other_schemas.with_first({"type": "map", "values": kind})
    with pytest.raises(ValueError, match="schema 7 is not"):
        EventReader(lambda _: deeper)(frame(7) + event)


_LARGE, _NEGATIVE, _LEAST = map(other_schemas.encode_long, (2**62, -5, -(2**63)))


@pytest.mark.parametrize(
    ("kind", "encoded"),
    [
        *(("string", length) for length in (_LARGE, _NEGATIVE, _LEAST)),
        *(("bytes", length) for length in (_LARGE, _NEGATIVE, _LEAST)),
        *(({"type": "array", "items": ["null", "long"]}, count) for count in (_LARGE, _NEGATIVE, _LEAST)),
        *(({"type": "map", "values": "long"}, count) for count in (_LARGE, _NEGATIVE, _LEAST)),
        *((["null", "string"], index) for index in (_LARGE, _NEGATIVE, _LEAST)),
        *(({"type": "long", "logicalType": "timestamp-millis"}, number) for number in (_LARGE, _LEAST)),
        *(("int", other_schemas.encode_long(number)) for number in (2**31, -(2**31) - 1, 2**62)),
        ([], b"\0"),
        ("string", b"\x02\xff"),
    ],
)
def test_damage_is_not_an_event(kind: Any, encoded: bytes) -> None:
    """The rest of the event comes after it."""
    with pytest.raises(ValueError, match="schema 7"):
        EventReader(lambda _: other_schemas.with_first(kind))(frame(7) + encoded + _event()[5:])


def test_an_int_has_32_bits() -> None:
    """fastavro reads more; other readers refuse the event, or make another number of it."""
    wider = json.loads(json.dumps(load_schema()).replace('"int"', '"long"'))
    event = EventReader.of_newest()(_event())
    for partition, is_event in ((2**31 - 1, True), (-(2**31), True), (2**31, False), (-(2**31) - 1, False)):
        event["context"]["origin"]["partition"] = partition
        encoded = io.BytesIO()
        fastavro.schemaless_writer(encoded, fastavro.parse_schema(wider), event)
        value = frame(7) + encoded.getvalue()
        if is_event:
            assert EventReader.of_newest()(value) == event
        else:
            with pytest.raises(ValueError, match="not an event of schema 7"):
                EventReader.of_newest()(value)


def test_an_id_that_no_registry_gives_is_not_asked_for() -> None:
    with pytest.raises(ValueError, match="4294967295"):
        EventReader(lambda _: pytest.fail("it asks"))(b"\0\xff\xff\xff\xff" + _event()[5:])


def test_a_later_versions_event_is_read_and_shown() -> None:
    read = EventReader(lambda _: other_schemas.LATER)
    event = track_json(read(other_schemas.later(_event())))
    known = track_json(EventReader.of_newest()(_event()))
    assert {name: event.pop(name) for name in other_schemas.ADDED_JSON} == other_schemas.ADDED_JSON
    assert event == known


@pytest.mark.parametrize(
    ("underlying", "logical", "encoded", "value"),
    [
        ("bytes", {"logicalType": "decimal", "precision": 10**9, "scale": 2}, b"\x02x", b"x"),
        ("string", {"logicalType": "uuid"}, b"\x02x", "x"),
        ("int", {"logicalType": "date"}, other_schemas.encode_long(2**31 - 1), 2**31 - 1),
        ("long", {"logicalType": "timestamp-micros"}, _LARGE, 2**62),
        ("long", {"logicalType": ["timestamp-millis"]}, _LARGE, 2**62),
    ],
)
def test_a_logical_type_that_is_not_ours_is_read_as_what_it_is_made_of(
    underlying: str, logical: dict[str, Any], encoded: bytes, value: Any
) -> None:
    """A decimal of a megabyte would take hours, and a date after the year 9999 would be an error."""
    read = EventReader(lambda _: other_schemas.with_first({"type": underlying, **logical}))
    assert read(frame(7) + encoded + _event()[5:])["first"] == value
