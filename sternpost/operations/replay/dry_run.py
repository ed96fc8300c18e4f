"""A replay that writes nothing: what it would change in the output topic.

The events that are there are read into a temporary folder (`ExistingEvents`), the range is mapped again, and the two
are compared record by record (`Difference`). Events are matched by the raw record that each names as its origin.
"""

import struct
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from rocksdict import Options, Rdict

from processor.deduplication.state_store import DISORDER_MS
from processor.pipeline.records import DeadLetter, Event, Outcome
from runtime import temporary
from runtime.kafka import range_consumer
from runtime.kafka.range_consumer import OffsetRange
from runtime.schema_registry import Registry
from runtime.settings.model import Settings
from schemas.track_event import EventReader, track_json
from sternpost.operations.replay.replay_pipeline import Filters, ReplayPipeline

EXAMPLES = 3
"""Examples that are kept of each kind."""

_ABSENT = object()

_TIMESTAMP = struct.Struct(">q")
"""Precedes each stored event: the timestamp of its record, in Unix milliseconds."""


class ExistingEvents:
    """The existing events of ranges of the raw topic, in a temporary folder because they may be many.

    A replay may have written an event more than once. The one that was written last counts, in whichever partition it
    is: a sink that keeps one event per `messageId` ends up with that one.
    """

    def __init__(self, settings: Settings, topic: str, ranges: list[OffsetRange]) -> None:
        """`ranges` are of the raw topic, `topic` is the one with the events."""
        self._settings, self._topic = settings, topic
        self._ranges = {offset_range.partition: offset_range for offset_range in ranges}
        self.unreadable = 0
        """Records of the topic that cannot be decoded as events, or whose schema the registry does not have."""
        self._folder = temporary.reclaimed_folder("sternpost-replay-")
        options = Options(raw_mode=True)
        options.create_if_missing(True)
        with self._disk_errors():
            self._events = Rdict(self._folder.name, options)

    def close(self) -> None:
        """Delete the temporary folder."""
        with suppress(Exception):  # it flushes, which a full disk refuses
            self._events.close()
        self._folder.cleanup()

    def output_ranges(self) -> list[OffsetRange]:
        """Return the ranges of the events topic in which the events can be. Raises DependencyError.

        They begin at the time when the first raw record was received, since an event is written, and so dated, later
        than its raw record. They end at the end of the topic: a processor may have been behind, and a replay may have
        written the events again much later.
        """
        raw = self._settings.topics.raw
        first = range_consumer.first_messages(self._settings, raw, list(self._ranges.values()))
        if not first:
            return []
        since_ms = min(message.timestamp()[1] for message in first.values()) - DISORDER_MS
        readable = range_consumer.readable_ranges(self._settings, self._topic)
        starts = range_consumer.offsets(
            self._settings, self._topic, {there.partition: max(0, since_ms) for there in readable}
        )
        return [
            there._replace(start=max(there.start, starts[there.partition]))
            for there in readable
            if starts[there.partition] >= 0
        ]

    def read(
        self,
        ranges: list[OffsetRange],
        decode: EventReader,
        on_done: Callable[[int], None],
        interrupted: threading.Event,
    ) -> None:
        """Read the events in `ranges` of the events topic, up to the batch in which it is interrupted.

        `on_done` is told the number of further records. Raises DependencyError.
        """
        for messages in range_consumer.read_ranges(self._settings, self._topic, ranges):
            if interrupted.is_set():
                return
            for message in messages:
                value = message.value() or b""
                try:
                    event = decode(value)
                except ValueError:  # another program wrote it
                    self.unreadable += 1
                    continue
                if (raw := self._raw_key(event)) is not None:
                    self._keep(raw, message.timestamp()[1], value)
            on_done(len(messages))

    def event(self, partition: int, offset: int) -> bytes | None:
        """Return the event of a raw record in wire format; None if there is none."""
        with self._disk_errors():
            found: bytes | None = self._events.get(b"%d:%d" % (partition, offset))
        return found and found[_TIMESTAMP.size :]

    def _raw_key(self, event: dict[str, Any]) -> bytes | None:
        """Return the key of the raw record that the event comes from; None if that is not within the ranges."""
        context = event.get("context")
        match context.get("origin") if isinstance(context, dict) else None:
            case {"topic": str(topic), "partition": int(partition), "offset": int(offset)}:
                within = self._ranges.get(partition)
                if topic == self._settings.topics.raw and within and within.start <= offset < within.end:
                    return b"%d:%d" % (partition, offset)
        return None

    def _keep(self, raw: bytes, written_ms: int, value: bytes) -> None:
        with self._disk_errors():
            before: bytes | None = self._events.get(raw)
            if before is None or written_ms >= _TIMESTAMP.unpack_from(before)[0]:
                self._events[raw] = _TIMESTAMP.pack(written_ms) + value

    @contextmanager
    def _disk_errors(self) -> Iterator[None]:
        """Raise what RocksDB raises, which has no class of its own, as DependencyError."""
        try:
            yield
        except Exception as error:
            raise temporary.refused(self._folder.name, error) from None


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

    def __init__(self, decode: EventReader, *, show_values: bool) -> None:
        self.difference = Difference()
        self._read_existing, self._read_mapped = decode, EventReader.of_newest()
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
    decode: EventReader,
    *,
    show_values: bool,
    on_done: Callable[[int], None],
    interrupted: threading.Event,
    batch: int = range_consumer.BATCH,
) -> Difference:
    """Map the ranges of `pipeline` and compare them with `existing`, up to the batch in which it is interrupted.

    `decode` reads the existing events. Values are people's data: without `show_values`, examples tell their type alone.
    `on_done` is told the number of further records. Raises DependencyError.
    """
    comparison = _Comparison(decode, show_values=show_values)
    for mapped in pipeline.batches(batch):
        if interrupted.is_set():
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


class DryRunResult(NamedTuple):
    """What a replay would change."""

    ranges: list[OffsetRange]
    """The ranges of the raw topic that were mapped."""
    difference: Difference
    unreadable: int
    """Records of the output topic that cannot be decoded as events; they were skipped."""

    def as_json(self) -> dict[str, Any]:
        """Return the result as JSON for scripts."""
        return {
            "range": [offset_range._asdict() for offset_range in self.ranges],
            **self.difference.as_json(),
            "unreadable": self.unreadable,
        }


def dry_run(
    settings: Settings,
    ranges: list[OffsetRange],
    filters: Filters,
    *,
    show_values: bool,
    interrupted: threading.Event,
    on_start: Callable[[int], None],
    on_done: Callable[[int], None],
) -> DryRunResult:
    """Map the ranges of the raw topic and compare the result with the events in the output topic.

    Values are people's data: without `show_values`, examples tell their type alone. If interrupted, the result covers
    a part of the ranges. `on_start` is told the number of offsets to read, `on_done` the number of further offsets
    after each batch. Raises DependencyError.
    """
    existing = ExistingEvents(settings, settings.topics.events, ranges)
    try:
        with (
            Registry(settings.schema_registry) as registry,
            ReplayPipeline(settings, ranges, filters, schema_id=0) as pipeline,
        ):
            output = existing.output_ranges()
            on_start(sum(offset_range.offsets for offset_range in [*output, *ranges]))
            decode = EventReader(registry.schema)
            existing.read(output, decode, on_done, interrupted)
            pipeline.restore_window(interrupted)
            difference = compare(
                pipeline,
                existing,
                decode,
                show_values=show_values,
                on_done=on_done,
                interrupted=interrupted,
            )
    finally:
        existing.close()
    return DryRunResult(ranges, difference, existing.unreadable)
