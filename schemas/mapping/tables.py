"""The mapping tables: `events.csv` names the event of each object type and metric, `fields.csv` the source of a field.

The mapping runs on these tables, docs/mapping.md is generated from them, and tests compare the Avro schema with them.
To add a metric, add a row to events.csv. To add a field, add a row to fields.csv and a version of the schema.
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
    """In lower case; `*` if the metric alone decides."""
    metric: str
    event: str
    origin: str
    """`documented`: RudderStack's own name, from the documentation of its Customer.io source
    (https://www.rudderstack.com/docs/sources/event-streams/cloud-apps/customerio/). `observed`: from the source itself
    (https://github.com/rudderlabs/rudder-transformer/tree/develop/src/sources/customerio). `ours`: RudderStack calls
    the pair Unknown Event, and we name it after the same pattern."""


class FieldRow(NamedTuple):
    """A row of fields.csv."""

    target: str
    """Path in the event; `[]` stands for each item of a list."""
    sources: tuple[str, ...]
    """Paths in the body; the first that is neither absent nor null is used."""
    type: str
    """For fields of the body: `text`, `identity` (text; blank counts as absent), `whole` (64-bit integer), `boolean`,
    `devices` or `headers`. For fields of the event itself: `time`, `constant`, `event` or `event id`. For fields of the
    raw record: `source`, `topic`, `partition` or `offset`."""
    profile: str
    """The profile that the row applies to, or `both`."""
    condition: str
    origin: str
    meaning: str

    def holds_for(self, profile: str) -> bool:
        """Return whether the row applies to a profile."""
        return self.profile in ("both", profile)


@cache
def events() -> tuple[EventRow, ...]:
    """Return the rows of events.csv."""
    return tuple(EventRow(**row) for row in _rows("events.csv"))


@cache
def fields() -> tuple[FieldRow, ...]:
    """Return the rows of fields.csv."""
    return tuple(
        FieldRow(sources=tuple(source.strip() for source in row.pop("sources").split(";")), **row)
        for row in _rows("fields.csv")
    )


@cache
def constants() -> dict[str, Any]:
    """Return the fields that are the same in all events: path → value. Do not modify it."""
    return {row.target: json.loads(row.sources[0]) for row in fields() if row.type == "constant"}


def event_name(object_type: str | None, metric: str | None) -> str:
    """Return the name of an event. `object_type` matches in any case, `metric` exactly."""
    names = _names()
    return names.get((EVERY_OBJECT_TYPE, metric)) or names.get(((object_type or "").lower(), metric)) or UNKNOWN_EVENT


def legacy_pair(event_type: str) -> tuple[str | None, str | None]:
    """Return the object type and metric of an `event_type` in the legacy format: ("email", "sent") for "email_sent".

    Returns (None, None) unless it is exactly a known channel, `_` and a known metric.

    Reporting webhooks had this format before `object_type` and `metric`, and old webhooks still post it: `event_type`
    beside `event_id`, `timestamp` and `data`. Customer.io's documentation of that time lists its values
    (http://learn.customer.io/developer-documentation/webhooks.html), and a public receiver has complete bodies
    (https://github.com/hull-ships/hull-customerio, test/integration/fixtures/webhook-payloads).
    """
    return _legacy_pairs().get(event_type, (None, None))


@cache
def _legacy_pairs() -> dict[str, tuple[str, str]]:
    rows = [row for row in events() if row.object_type != EVERY_OBJECT_TYPE]
    metrics = {row.metric for row in rows}
    return {
        f"{channel}_{metric}": (channel, metric) for channel in {row.object_type for row in rows} for metric in metrics
    }


@cache
def _names() -> dict[tuple[str, str | None], str]:
    return {(row.object_type, row.metric): row.event for row in events()}


def _rows(file: str) -> list[dict[str, str]]:
    with (_HERE / file).open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))
