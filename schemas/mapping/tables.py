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


def legacy_pair(event_type: str) -> tuple[str | None, str | None]:
    """The object type and metric that an `event_type` of the legacy format stands for: ("email", "sent") for
    "email_sent"; (None, None) if it is not a known channel, `_` and a known metric, exactly.

    Reporting webhooks had this format before `object_type` and `metric`, and old ones still post it: `event_type` at
    the top, beside `event_id`, `timestamp` and `data`. Its values are listed in Customer.io's documentation of that
    time (http://learn.customer.io/developer-documentation/webhooks.html), and a public receiver has whole bodies of
    it (https://github.com/hull-ships/hull-customerio, test/integration/fixtures/webhook-payloads).
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
