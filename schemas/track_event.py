"""The RudderStack track event: its Avro schema, its decoder, and its JSON form."""

import io
import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any, Self

import fastavro

from schemas.avro.wire_format import split

_EPOCH = datetime(1970, 1, 1)
_MILLISECOND = timedelta(milliseconds=1)
_FIRST_MS, _LAST_MS = ((moment - _EPOCH) // _MILLISECOND for moment in (datetime.min, datetime.max))
_VERSION = re.compile(r"track_event\.v([1-9][0-9]*)\.avsc")


def _version(file: Path) -> int:
    found = _VERSION.fullmatch(file.name)
    return int(found[1]) if found else 0


SCHEMA_FILES = sorted(filter(_version, (Path(__file__).parent / "avro").iterdir()), key=_version)
"""Every version, oldest first."""

SCHEMA_FILE = SCHEMA_FILES[-1]
"""The newest version."""


def load_schema() -> dict[str, Any]:
    """Return the newest version of the schema as JSON."""
    schema: dict[str, Any] = json.loads(SCHEMA_FILE.read_text("utf-8"))
    return schema


class EventReader:
    """Decodes events as a sink does, with the schema whose id comes before the Avro: any version of ours."""

    def __init__(self, schema_by_id: Callable[[int], dict[str, Any]]) -> None:
        """Take a function that returns the schema of an id as JSON, such as `Registry.schema`."""
        self._parsed = cache(lambda schema_id: fastavro.parse_schema(schema_by_id(schema_id)))

    @classmethod
    def of_newest(cls) -> Self:
        """Return a reader of events that this version of Sternpost wrote, whatever their schema id."""
        schema = load_schema()
        return cls(lambda _: schema)

    def __call__(self, value: bytes) -> dict[str, Any]:
        """Decode an event with its writer's schema, times as aware datetimes. Raises ValueError for other formats."""
        schema_id, payload = split(value)
        schema, rest = self._parsed(schema_id), io.BytesIO(payload)
        try:
            event = fastavro.schemaless_reader(rest, schema, None)
        except Exception as error:  # decoding arbitrary bytes can raise anything
            raise ValueError(f"the value is not an event of schema {schema_id}") from error
        if rest.read(1):
            raise ValueError(f"the value goes on after an event of schema {schema_id}")
        assert isinstance(event, dict)  # noqa: S101 (the schema is a record's)
        return event


def track_json(event: dict[str, Any]) -> dict[str, Any]:
    """Return an event, mapped or decoded from Avro, in RudderStack's JSON form.

    Times are ISO-8601 in UTC with milliseconds and Z. Nulls are left out, and so are records with nothing in them. The
    form is RudderStack's track event:
    https://www.rudderstack.com/docs/event-spec/standard-events/track/
    """
    return _present(
        {name: _TIMES[name](value) if name in _TIMES and value is not None else value for name, value in event.items()}
    )


def iso(ms: int) -> str:
    """Return a time in RudderStack's form: ISO-8601 in UTC with milliseconds and Z.

    One before the year 1 or after 9999, which a record of another program may have, becomes the first or last moment.
    """
    return (_EPOCH + timedelta(milliseconds=min(max(ms, _FIRST_MS), _LAST_MS))).isoformat(timespec="milliseconds") + "Z"


def milliseconds(moment: datetime | int) -> int:
    """Return the Unix milliseconds of a `timestamp-millis` value from an Avro reader."""
    if isinstance(moment, int):
        return moment
    return (moment.astimezone(UTC).replace(tzinfo=None) - _EPOCH) // _MILLISECOND


def _iso(moment: datetime | int) -> str:
    return iso(milliseconds(moment))


_TIMES = dict.fromkeys(("timestamp", "originalTimestamp", "sentAt", "receivedAt"), _iso)


def _present(record: dict[str, Any]) -> dict[str, Any]:
    """Return the record, or map, without what is null or a record of nulls. A map without entries stays."""
    present: dict[str, Any] = {}
    for name, value in record.items():
        if isinstance(value, dict):
            inner = _present(value)
            if inner or not value:
                present[name] = inner
        elif isinstance(value, list):
            present[name] = [_present(item) if isinstance(item, dict) else item for item in value]
        elif value is not None:
            present[name] = value
    return present
