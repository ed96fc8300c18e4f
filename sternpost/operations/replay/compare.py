"""Compare what this version makes of raw records with the events that are in the output topic."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from processor.pipeline.records import DeadLetter, Event, Outcome
from runtime.graceful_interrupt import StopRequest
from runtime.kafka import range_consumer
from schemas.track_event import EventReader, track_json
from sternpost.operations.replay.existing_events import ExistingEvents
from sternpost.operations.replay.replay_pipeline import ReplayPipeline

EXAMPLES = 3
"""Examples that are kept of each kind."""

_ABSENT = object()


@dataclass
class FieldChange:
    """How one field of the events differs."""

    added: int = 0
    removed: int = 0
    changed: int = 0
    examples: list[dict[str, Any]] = field(default_factory=list)
    """The raw record, and the value before and after."""

    @property
    def total(self) -> int:
        """The number of events in which the field differs."""
        return self.added + self.removed + self.changed


@dataclass
class Difference:
    """What a replay would change. Events are matched by the raw record that they came from."""

    records: int = 0
    """Raw records of the range that pass the filters."""
    duplicates: int = 0
    unchanged: int = 0
    added: int = 0
    """Events that the output topic does not have."""
    removed: int = 0
    """Events in the output topic that this version would not make."""
    changed: int = 0
    dead_letters: Counter[str] = field(default_factory=Counter)
    """The number of records that this version refuses, by error code."""
    fields: dict[str, FieldChange] = field(default_factory=dict)
    """By path in the event's JSON form: `context.traits.email`."""
    examples: dict[str, list[dict[str, Any]]] = field(
        default_factory=lambda: {"added": [], "removed": [], "dead_letters": []}
    )
    """Of dead letters, some of each code."""

    def as_json(self) -> dict[str, Any]:
        """Return the difference as JSON for scripts, the fields that differ most often first."""
        return {
            "records": self.records,
            "duplicates": self.duplicates,
            "unchanged": self.unchanged,
            "added": self.added,
            "removed": self.removed,
            "changed": self.changed,
            "dead_letters": dict(self.dead_letters),
            "fields": {
                path: vars(change) for path, change in sorted(self.fields.items(), key=lambda item: -item[1].total)
            },
            "examples": self.examples,
        }


class _Comparison:
    """Adds up the difference, one record after the other."""

    def __init__(self, schema_by_id: Callable[[int], dict[str, Any]], *, show_values: bool) -> None:
        self.difference = Difference()
        self._read_existing, self._read_mapped = EventReader(schema_by_id), EventReader.of_newest()
        self._show_values = show_values

    def add(self, raw: str, existing: bytes | None, outcome: Outcome) -> None:
        """Compare one record's outcome with the event that exists of it; `raw` is its `partition:offset`."""
        difference = self.difference
        difference.records += 1
        if isinstance(outcome, Event):
            if existing is None:
                difference.added += 1
                _keep(difference.examples["added"], {"raw": raw})
            elif existing == outcome.value:
                difference.unchanged += 1
            else:
                self._add_event(raw, existing, outcome.value)
            return
        if isinstance(outcome, DeadLetter):
            code = reason = outcome.code.value
            difference.dead_letters[code] += 1
            if difference.dead_letters[code] <= EXAMPLES:
                because = f"{code}: {outcome.message}"
                difference.examples["dead_letters"].append({"raw": raw, "because": because})
        else:
            reason = "duplicate"
            difference.duplicates += 1
        if existing is not None:
            difference.removed += 1
            _keep(difference.examples["removed"], {"raw": raw, "because": reason})

    def _add_event(self, raw: str, existing: bytes, mapped: bytes) -> None:
        old = flatten(track_json(self._read_existing(existing)))
        new = flatten(track_json(self._read_mapped(mapped)))
        if old == new:  # the same event, written with another version of the schema
            self.difference.unchanged += 1
            return
        self.difference.changed += 1
        for path in sorted(old.keys() | new.keys()):
            before, after = old.get(path, _ABSENT), new.get(path, _ABSENT)
            if before == after:
                continue
            change = self.difference.fields.setdefault(path, FieldChange())
            if before is _ABSENT:
                change.added += 1
            elif after is _ABSENT:
                change.removed += 1
            else:
                change.changed += 1
            _keep(change.examples, {"raw": raw, "before": self._shown(before), "after": self._shown(after)})

    def _shown(self, value: Any) -> Any:
        if value is _ABSENT:
            return None
        return value if self._show_values else describe_type(value)


def compare(
    pipeline: ReplayPipeline,
    existing: ExistingEvents,
    schema_by_id: Callable[[int], dict[str, Any]],
    *,
    show_values: bool,
    on_done: Callable[[int], None],
    interrupted: StopRequest,
    batch: int = range_consumer.BATCH,
) -> Difference:
    """Map the ranges of `pipeline` and compare them with `existing`, up to the batch in which it is interrupted.

    `schema_by_id` returns the schemas that the existing events were written with. Values are people's data: without
    `show_values`, examples tell their type alone. `on_done` is told the number of further records. Raises
    DependencyError.
    """
    comparison = _Comparison(schema_by_id, show_values=show_values)
    for mapped in pipeline.batches(batch):
        if interrupted:
            break
        for record, outcome in mapped.outcomes:
            found = existing.event(record.partition, record.offset)
            comparison.add(f"{record.partition}:{record.offset}", found, outcome)
        on_done(len(mapped.outcomes) + mapped.filtered)
    return comparison.difference


def flatten(event: Any, path: str = "") -> dict[str, Any]:
    """Return the values of nested objects by path; an empty object is a value."""
    if isinstance(event, dict) and event:
        return {
            inner: value
            for name, item in event.items()
            for inner, value in flatten(item, f"{path}.{name}" if path else name).items()
        }
    return {path: event}


def describe_type(value: Any) -> str:
    """Describe a JSON value without showing it: `text of 12 characters`."""
    match value:
        case bool():
            return "a boolean"
        case int() | float():
            return "a number"
        case str():
            return f"text of {len(value)} characters"
        case list():
            return f"a list of {len(value)}"
    return "an object"


def _keep(examples: list[dict[str, Any]], example: dict[str, Any]) -> None:
    if len(examples) < EXAMPLES:
        examples.append(example)
