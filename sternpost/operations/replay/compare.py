"""What mapping the range again would change, held against the events that are in the output topic."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from processor.pipeline.records import DeadLetter, Event
from runtime.kafka import range_consumer
from schemas.avro.decoder import EventReader
from schemas.track_event import track_json
from sternpost.operations.replay.existing_events import ExistingEvents
from sternpost.operations.replay.replay_pipeline import ReplayPipeline

EXAMPLES = 3
"""Kept of each kind."""

_ABSENT = object()


@dataclass
class FieldChange:
    """One field of the events that differ in it."""

    added: int = 0
    removed: int = 0
    changed: int = 0
    examples: list[dict[str, Any]] = field(default_factory=list)
    """Where, and what it was and would be."""


@dataclass
class Difference:
    """What would differ. Events are matched by the raw record that they came from."""

    records: int = 0
    """Raw records of the range that pass the filters."""
    duplicates: int = 0
    unchanged: int = 0
    added: int = 0
    """Events that the output topic has not got."""
    removed: int = 0
    """Events in the output topic that today's mapping would not make."""
    changed: int = 0
    dead_letters: Counter[str] = field(default_factory=Counter)
    """By code, what today's mapping refuses."""
    fields: dict[str, FieldChange] = field(default_factory=dict)
    """By path in the event's JSON form: `context.traits.email`."""
    examples: dict[str, list[dict[str, Any]]] = field(
        default_factory=lambda: {"added": [], "removed": [], "dead_letters": []}
    )
    """Of dead letters, some of each code."""

    def as_json(self) -> dict[str, Any]:
        """For scripts."""
        return {
            "records": self.records,
            "duplicates": self.duplicates,
            "unchanged": self.unchanged,
            "added": self.added,
            "removed": self.removed,
            "changed": self.changed,
            "dead_letters": dict(self.dead_letters),
            "fields": {
                path: vars(change)
                for path, change in sorted(
                    self.fields.items(), key=lambda item: -(item[1].added + item[1].removed + item[1].changed)
                )
            },
            "examples": self.examples,
        }


def compare(
    mapping: ReplayPipeline,
    present: ExistingEvents,
    schema_by_id: Callable[[int], dict[str, Any]],
    *,
    show_values: bool,
    on_done: Callable[[int], None],
    interrupted: Callable[[], bool],
    batch: int = range_consumer.BATCH,
) -> Difference:
    """Maps the spans and writes nothing. Values are people's data: without `show_values`, examples tell their kind.

    `schema_by_id` gives the schemas that the topic's events were written with. Raises DependencyError.
    """
    difference = Difference()
    read_old, read_new = EventReader(schema_by_id), EventReader.of_newest()
    show = (lambda value: None if value is _ABSENT else value) if show_values else kind
    for mapped in mapping.batches(batch):
        if interrupted():
            break
        for record, outcome in mapped.outcomes:
            difference.records += 1
            at = f"{record.partition}:{record.offset}"
            before = present.event(record.partition, record.offset)
            if type(outcome) is not Event:
                if type(outcome) is DeadLetter:
                    difference.dead_letters[outcome.code.value] += 1
                    if difference.dead_letters[outcome.code.value] <= EXAMPLES:
                        difference.examples["dead_letters"].append(
                            {"raw": at, "because": f"{outcome.code.value}: {outcome.message}"}
                        )
                else:
                    difference.duplicates += 1
                if before is not None:
                    difference.removed += 1
                    why = outcome.code.value if type(outcome) is DeadLetter else "duplicate"
                    _keep(difference.examples["removed"], {"raw": at, "because": why})
            elif before is None:
                difference.added += 1
                _keep(difference.examples["added"], {"raw": at})
            elif before == outcome.value:
                difference.unchanged += 1
            else:
                old, new = flat(track_json(read_old(before))), flat(track_json(read_new(outcome.value)))
                if old == new:  # another version of the schema, the same event
                    difference.unchanged += 1
                    continue
                difference.changed += 1
                for path in sorted(old.keys() | new.keys()):
                    was, now = old.get(path, _ABSENT), new.get(path, _ABSENT)
                    if was != now:
                        change = difference.fields.setdefault(path, FieldChange())
                        how = "added" if was is _ABSENT else "removed" if now is _ABSENT else "changed"
                        setattr(change, how, getattr(change, how) + 1)
                        _keep(change.examples, {"raw": at, "before": show(was), "after": show(now)})
        on_done(len(mapped.outcomes) + mapped.passed_over)
    return difference


def flat(event: Any, path: str = "") -> dict[str, Any]:
    """Path → value, for what holds no further fields."""
    if isinstance(event, dict) and event:
        return {
            inner: value
            for name, item in event.items()
            for inner, value in flat(item, f"{path}.{name}" if path else name).items()
        }
    return {path: event}


def kind(value: Any) -> str | None:
    """What a value is, without telling it: `text of 12 characters`."""
    if value is _ABSENT:
        return None
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
