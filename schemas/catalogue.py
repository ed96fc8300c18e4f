"""What becomes what: `events.csv` names the event of each (object type, metric), `fields.csv` the source of each field.

The mapping runs on these tables, docs/mapping.md is generated from them, and tests hold the Avro schema against them. A
new metric or field is a row here, and for a field a new version of the schema.
"""

import csv
import json
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

PROFILES = ("rudderstack", "corrected")
EVERY_OBJECT_TYPE = "*"
UNKNOWN_EVENT = "Unknown Event"

_HERE = Path(__file__).parent


class EventRow(NamedTuple):
    """A row of events.csv."""

    object_type: str
    """In lower case; `*` where the metric alone decides."""
    metric: str
    event: str
    origin: str
    """`documented` and `observed`: RudderStack's own name, from its documentation or its behaviour; `ours`: a pair that
    RudderStack calls Unknown Event, named after the same pattern."""


class FieldRow(NamedTuple):
    """A row of fields.csv."""

    target: str
    """Path in the event; `[]` stands for each item of a list."""
    sources: tuple[str, ...]
    """Paths in the body: the first that is neither absent nor null is taken."""
    type: str
    """`text`, `identity` (text; blank counts as absent), `whole` (64-bit integer), `boolean`, `devices`, `headers`; of
    the event itself `time`, `constant`, `event`, `event id`; of the raw record `source`, `topic`, `partition`,
    `offset`."""
    profile: str
    """`both`, or the one that it holds for."""
    condition: str
    origin: str
    meaning: str

    def holds_for(self, profile: str) -> bool:
        return self.profile in ("both", profile)


@cache
def events() -> tuple[EventRow, ...]:
    return tuple(EventRow(**row) for row in _rows("events.csv"))


@cache
def fields() -> tuple[FieldRow, ...]:
    return tuple(
        FieldRow(sources=tuple(source.strip() for source in row.pop("sources").split(";")), **row)
        for row in _rows("fields.csv")
    )


@cache
def constants() -> dict[str, Any]:
    """The fields that are the same in all events, by their paths. Not to be changed."""
    return {row.target: json.loads(row.sources[0]) for row in fields() if row.type == "constant"}


def event_name(object_type: str | None, metric: str | None) -> str:
    """The event's name; `object_type` in any case, `metric` exactly."""
    names = _names()
    return names.get((EVERY_OBJECT_TYPE, metric)) or names.get(((object_type or "").lower(), metric)) or UNKNOWN_EVENT


@cache
def _names() -> dict[tuple[str, str | None], str]:
    return {(row.object_type, row.metric): row.event for row in events()}


def _rows(file: str) -> list[dict[str, str]]:
    with (_HERE / file).open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))
