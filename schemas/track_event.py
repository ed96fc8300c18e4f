"""The RudderStack track event: its Avro schema, its decoder, and its JSON form."""

import io
import json
import math
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple, Self

import fastavro

from schemas.avro.bounded_schema import bounded
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


MOST_SCHEMAS = 64
"""The number of schemas that a reader keeps. The ids come from the records, which anyone may have written."""


class EventReader:
    """Decodes events as a sink does, with the schema whose id comes before the Avro: any version of ours."""

    def __init__(self, schema_by_id: Callable[[int], dict[str, Any] | None]) -> None:
        """Take a function that returns the schema of an id as JSON, or None, such as `Registry.schema`."""
        self._schema_by_id = schema_by_id
        self._writer = lru_cache(MOST_SCHEMAS)(self._look_up)

    @classmethod
    def of_newest(cls) -> Self:
        """Return a reader of events that this version of Sternpost wrote, whatever their schema id."""
        schema = load_schema()
        return cls(lambda _: schema)

    def __call__(self, value: bytes) -> dict[str, Any]:
        """Decode an event with its writer's schema, times as aware datetimes.

        Raises ValueError for other formats, for another program's records, and if the id has no schema.
        """
        schema_id, payload = split(value)
        writer, rest = self._writer(schema_id), io.BytesIO(payload)
        if writer is None:
            raise ValueError(f"schema {schema_id} is not a {_NAME}")
        try:
            event: dict[str, Any] = fastavro.schemaless_reader(rest, writer.schema, None)  # type: ignore[assignment]
            if not writer.is_known:
                fastavro.schemaless_reader(io.BytesIO(payload), writer.schema, _NEWEST)
        except Exception as error:  # decoding arbitrary bytes can raise anything
            raise ValueError(f"the value is not an event of schema {schema_id}") from error
        if rest.read(1):
            raise ValueError(f"the value goes on after an event of schema {schema_id}")
        return event

    def _look_up(self, schema_id: int) -> "_Writer | None":
        """Return the schema of an id, None if it is not one of a track event. Raises ValueError if there is none.

        The cache keeps what is returned, but not that an id has no schema: it may have one later.
        """
        schema = self._schema_by_id(schema_id)
        if schema is None:
            raise ValueError(f"there is no schema {schema_id}")
        try:
            reduced = bounded(schema)
            parsed = fastavro.parse_schema(reduced)
        except Exception:  # the registry may hold JSON Schema, or anything
            return None
        match parsed:
            case {"type": "record", "name": name} if name == _NAME:
                return _Writer(parsed, reduced in _KNOWN)
        return None


class _Writer(NamedTuple):
    """A schema that events were written with."""

    schema: Any
    is_known: bool
    """Whether it is one of this version's; of another, each event is checked to be readable with the newest."""


_KNOWN = [bounded(json.loads(file.read_text("utf-8"))) for file in SCHEMA_FILES]
_NEWEST = fastavro.parse_schema(load_schema())
_NAME = "sternpost.events.TrackEvent"


def track_json(event: dict[str, Any]) -> dict[str, Any]:
    """Return an event, mapped or decoded from Avro, in RudderStack's JSON form.

    Times are ISO-8601 in UTC with milliseconds and Z. Nulls are left out, and so are records with nothing in them.
    Fields that a later version of the schema added become text if JSON does not have their type. The form is
    RudderStack's track event: https://www.rudderstack.com/docs/event-spec/standard-events/track/
    """
    return _present(
        {name: iso(value) if name in _TIMES and isinstance(value, int) else value for name, value in event.items()}
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


_TIMES = {"timestamp", "originalTimestamp", "sentAt", "receivedAt"}


def _present(record: dict[str, Any]) -> dict[str, Any]:
    """Return the record, or map, without what is null or a record of nulls. A map without entries stays."""
    present: dict[str, Any] = {}
    for name, value in record.items():
        if isinstance(value, dict):
            inner = _present(value)
            if inner or not value:
                present[name] = inner
        elif value is not None:
            present[name] = value if type(value) is str else _as_json(value)
    return present


def _as_json(value: Any) -> Any:
    match value:
        case dict():
            return _present(value)
        case list():
            return [_as_json(item) for item in value]
        case datetime():
            return iso(milliseconds(value))
        case None | str() | int():
            return value
        case float() if math.isfinite(value):
            return value
        case bytes():
            return value.decode("utf-8", "backslashreplace")
        case _:
            return str(value)
