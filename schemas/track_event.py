"""The RudderStack track event: its Avro schema, and its JSON form."""

import json
import re
from datetime import datetime
from pathlib import Path
from typing import Any

from schemas.customerio.timestamps import iso, milliseconds

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


def track_json(event: dict[str, Any]) -> dict[str, Any]:
    """Return an event, mapped or decoded from Avro, in RudderStack's JSON form.

    Times are ISO-8601 in UTC with milliseconds and Z. Nulls are left out. The form is RudderStack's track event:
    https://www.rudderstack.com/docs/event-spec/standard-events/track/
    """
    return {
        name: _TIMES[name](value) if name in _TIMES else _present(value)
        for name, value in event.items()
        if value is not None
    }


def _iso(moment: datetime | int) -> str:
    return iso(milliseconds(moment))


_TIMES = dict.fromkeys(("timestamp", "originalTimestamp", "sentAt", "receivedAt"), _iso)


def _present(value: Any) -> Any:
    match value:
        case dict():
            return {name: _present(item) for name, item in value.items() if item is not None}
        case list():
            return [_present(item) for item in value]
    return value
