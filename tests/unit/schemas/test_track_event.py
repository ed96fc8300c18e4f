"""The event's schema and its JSON form."""

import json
from datetime import UTC, datetime
from pathlib import Path

import fastavro
import pytest

from schemas.track_event import SCHEMA_FILE, SCHEMA_FILES, iso, load_schema, track_json


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
