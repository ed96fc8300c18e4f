"""What became of an event: its webhook in the raw topic, and what each copy of it led to.

Nothing is indexed by event id, so the raw topic is searched: from the time in the id on if the id has one, else from
the newest record back. What a raw record became is then known by its place: an event names it in `context.origin`, a
dead letter in its headers. Both are dated later than the raw record, so that only a part of their topics is read.

Any number of records can have one event id. Of most of them only the place and the like is kept, not the content.
"""

import sys
import threading
import time
from collections.abc import Callable, Iterable
from enum import StrEnum
from typing import Any, NamedTuple

from processor.deduplication.state_store import DISORDER_MS
from processor.pipeline.records import RawRecord, attempt_of, identify, raw_records
from runtime.errors import CheckFailedError, DependencyError
from runtime.kafka import range_consumer
from runtime.kafka.range_consumer import Message, OffsetRange
from runtime.schema_registry import Registry
from runtime.settings.model import Settings
from schemas import record_headers
from schemas.track_event import EventReader, iso, track_json
from sternpost.operations.dead_letters.record import DeadLetterRecord, parse_dead_letter, parse_redrive_marker
from sternpost.operations.raw_record import read_raw_record
from sternpost.operations.search import search, since, time_in, without
from sternpost.operations.status.consumer_group import processor_offsets

SOON_MS = 60_000
"""Clocks rarely differ by more: this is tried first."""

CONTENT_BYTES = 4 * 1_048_576
"""Of the records whose content is kept, the bodies' bytes at most, but for the last of them."""

Place = tuple[int, int]
"""Partition and offset."""


class Fate(StrEnum):
    """What became of a raw record."""

    EVENT = "event"
    DEAD_LETTER = "dead letter"
    DUPLICATE = "duplicate"
    WAITING = "waiting"
    """The processor has not come to it."""
    UNKNOWN = "unknown"
    """Processed, but its event or dead letter is not there: retention removed it, or the search was stopped."""


class FoundEvent(NamedTuple):
    """An event in the events topic."""

    partition: int
    offset: int
    written_ms: int
    """Unix milliseconds."""
    key: bytes | None
    headers: list[tuple[str, bytes | None]]
    event: dict[str, Any]
    """In RudderStack's JSON form; only the event's name if the content of its raw record was not kept."""


class TracedRecord(NamedTuple):
    """One raw record with the event id, and what became of it."""

    topic: str
    partition: int
    offset: int
    content: RawRecord | None
    """The record itself, if it was kept."""
    source: str
    received_ms: int
    """Unix milliseconds."""
    attempt: int
    fate: Fate
    event: FoundEvent | None = None
    letter: DeadLetterRecord | None = None
    duplicate_of: int | None = None
    """The offset, in the same partition, of the record that it repeats."""

    @property
    def place(self) -> Place:
        """Partition and offset in the raw topic."""
        return self.partition, self.offset

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON for scripts, without key, payload and event, which are a person's data."""
        return {
            "raw": {"topic": self.topic, "partition": self.partition, "offset": self.offset},
            "source": self.source,
            "received_at": iso(self.received_ms),
            "attempt": self.attempt,
            "became": self.fate,
            "event": self.event
            and {
                "partition": self.event.partition,
                "offset": self.event.offset,
                "written_at": iso(self.event.written_ms),
                "name": self.event.event.get("event"),
            },
            "dead_letter": self.letter and self.letter.as_json(),
            "duplicate_of": self.duplicate_of,
        }


class Trace(NamedTuple):
    """Everything that was found so far."""

    event_id: str
    records: list[TracedRecord]
    """By partition and offset."""
    complete: bool
    """Whether all was searched."""


OnProgress = Callable[[int, int], None]


def trace(
    settings: Settings,
    event_id: str,
    source: str | None = None,
    *,
    at: Place | None = None,
    contents: int = 0,
    stop: threading.Event,
    on_progress: OnProgress = lambda _done, _total: None,
    on_found: Callable[[Trace], None] = lambda _: None,
) -> Trace:
    """Find the webhook with this event id, copies of it, and what each became.

    `at` is where the webhook is in the raw topic, if that is known. `contents` is the number of records of which to
    keep the content, with that of their events: the first ones found, fewer if they are large. `on_found` is told what
    is known so far; the last such trace is returned, also when asked to stop. `on_progress` is told the number of
    offsets read and to read. Raises DependencyError.
    """
    return _Tracer(settings, event_id, source, contents, stop, on_progress, on_found).trace(at)


class _Copy(NamedTuple):
    """What is kept of a raw record with the event id. Two of a partition with the same source and attempt are equal."""

    source: str
    attempt: int
    received_ms: int
    timestamp_ms: int
    content: RawRecord | None


class _Tracer:
    def __init__(
        self,
        settings: Settings,
        event_id: str,
        source: str | None,
        contents: int,
        stop: threading.Event,
        on_progress: OnProgress,
        on_found: Callable[[Trace], None],
    ) -> None:
        self._settings, self._id, self._source, self._contents = settings, event_id, source, contents
        self._stop, self._on_progress, self._on_found = stop, on_progress, on_found
        self._records: dict[Place, _Copy] = {}
        self._content_bytes = 0
        self._events: dict[Place, FoundEvent] = {}
        self._letters: dict[Place, DeadLetterRecord] = {}
        self._looked_up: set[Place] = set()
        self._committed: dict[int, int] = {}
        self._done = self._total = 0

    def trace(self, at: Place | None) -> Trace:
        readable = range_consumer.readable_ranges(self._settings, self._settings.topics.raw)
        self._committed = processor_offsets(self._settings, [part.partition for part in readable])
        first = self._at(at) if at is not None else None
        left = readable
        if first is None:
            first, left = self._first(readable)
        if first is None:
            return Trace(self._id, [], complete=not self._stop.is_set())
        self._look_up_outcomes()
        self._on_found(self._trace(complete=False))
        self._look_for_copies(first, [part for part in left if part.partition == first[0]])
        self._look_up_outcomes()
        found = self._trace(complete=not self._stop.is_set())
        self._on_found(found)
        return found

    def _at(self, place: Place) -> Place | None:
        try:
            record = read_raw_record(self._settings, *place)
        except (CheckFailedError, DependencyError):  # the search says what is wrong, if anything is
            return None
        self._keep([record])
        return place if self._records else None

    def _first(self, readable: list[OffsetRange]) -> tuple[Place | None, list[OffsetRange]]:
        """Return the place of one of the records, and what was not searched."""
        topic, made_ms = self._settings.topics.raw, time_in(self._id)
        likely: list[OffsetRange] = []
        if made_ms is not None and made_ms < time.time() * 1000 + DISORDER_MS:
            likely = since(self._settings, topic, made_ms - SOON_MS, readable)
        self._expect([*readable])
        for ranges, newest_first in ((likely, False), (without(readable, likely), True)):
            for messages in search(
                self._settings,
                topic,
                ranges,
                self._is_wanted,
                newest_first=newest_first,
                stop=self._stop,
                on_read=self._read,
            ):
                self._keep(raw_records(topic, messages)[0])
                if self._records:
                    return next(iter(self._records)), readable
        return None, []

    def _look_for_copies(self, first: Place, ranges: list[OffsetRange]) -> None:
        """Search the partition: copies have the same person, and so the same partition; the closest ones come first."""
        partition, offset = first
        before = [OffsetRange(partition, part.start, min(part.end, offset)) for part in ranges]
        after = [OffsetRange(partition, max(part.start, offset + 1), part.end) for part in ranges]
        self._expect([*before, *after])
        for part, newest_first in ((after, False), (before, True)):
            for messages in search(
                self._settings,
                self._settings.topics.raw,
                part,
                self._is_wanted,
                newest_first=newest_first,
                stop=self._stop,
                on_read=self._read,
            ):
                self._keep(raw_records(self._settings.topics.raw, messages)[0])

    def _is_wanted(self, message: Message) -> bool:
        wanted = self._id.encode()
        for name, value in range_consumer.headers_of(message):
            if name == record_headers.EVENT_ID and value:
                return value == wanted
        # Another program wrote it, and its id is in the body, or is the body's hash.
        return wanted in (message.value() or b"") or (len(wanted) == 64 and self._is_of(message))

    def _is_of(self, message: Message) -> bool:
        [record], _ = raw_records(self._settings.topics.raw, [message])
        return identify(record).event_id == self._id

    def _keep(self, records: Iterable[RawRecord]) -> None:
        for record in records:
            place, identity = (record.partition, record.offset), identify(record)
            known = place in self._records  # copies are looked for where the first was found, too
            if not known and identity.event_id == self._id and self._source in (None, identity.source):
                kept = len(self._records) < self._contents and self._content_bytes < CONTENT_BYTES
                self._content_bytes += len(record.value or b"") if kept else 0
                self._records[place] = _Copy(
                    sys.intern(identity.source),
                    attempt_of(record),
                    identity.received_at_ms,
                    record.timestamp_ms,
                    record if kept else None,
                )

    def _look_up_outcomes(self) -> None:
        """Find the dead letters and events of the records that are new."""
        new = {
            place: copy
            for place, copy in self._records.items()
            if place not in self._looked_up and self._is_processed(place)
        }
        self._looked_up |= self._records.keys()
        if not new or self._stop.is_set():
            return
        earliest_ms = min(copy.timestamp_ms for copy in new.values())
        self._look_for_letters(earliest_ms, new)
        self._look_for_events(earliest_ms, new.keys() - self._letters.keys() - set(self._repeated()))

    def _look_for_letters(self, earliest_ms: int, wanted: Iterable[Place]) -> None:
        topics = self._settings.topics
        readable = range_consumer.readable_ranges(self._settings, topics.dead_letters)
        ranges = since(self._settings, topics.dead_letters, earliest_ms - DISORDER_MS, readable)
        self._expect(ranges)
        marked: set[Place] = set()
        for messages in search(
            self._settings, topics.dead_letters, ranges, lambda _: True, stop=self._stop, on_read=self._read
        ):
            for message in messages:
                if (marker := parse_redrive_marker(message)) is not None:
                    marked.add(marker)
                elif (letter := parse_dead_letter(message)) is not None and letter.raw_topic == topics.raw:
                    place = letter.raw_partition, letter.raw_offset
                    if place in wanted:
                        self._letters[place] = letter
        for place, letter in self._letters.items():
            if letter.partition_offset in marked:
                self._letters[place] = letter._replace(redriven=True)

    def _look_for_events(self, earliest_ms: int, places: set[Place]) -> None:
        if not places:
            return
        topic = self._settings.topics.events
        readable = range_consumer.readable_ranges(self._settings, topic)
        soon = since(self._settings, topic, earliest_ms - SOON_MS, readable)
        earlier = without(since(self._settings, topic, earliest_ms - DISORDER_MS, readable), soon)
        self._expect([*soon, *earlier])
        wanted = self._id.encode()
        with Registry(self._settings.schema_registry) as registry:
            decode = EventReader(registry.schema)
            for ranges in (soon, earlier):
                for messages in search(
                    self._settings,
                    topic,
                    ranges,
                    lambda message: wanted in (message.value() or b""),  # Avro has text as it is
                    stop=self._stop,
                    on_read=self._read,
                ):
                    for message in messages:
                        self._keep_event(decode, message)
                    if places <= self._events.keys():
                        return

    def _keep_event(self, decode: EventReader, message: Message) -> None:
        try:
            event = track_json(decode(message.value() or b""))
        except ValueError:  # another program wrote it
            return
        match event.get("context", {}).get("origin"):
            case {"topic": self._settings.topics.raw, "partition": int(partition), "offset": int(offset)}:
                copy = self._records.get((partition, offset))
                kept = copy is not None and copy.content is not None
                self._events[partition, offset] = FoundEvent(
                    message.partition() or 0,
                    message.offset() or 0,
                    message.timestamp()[1],
                    message.key() if kept else None,
                    range_consumer.headers_of(message) if kept else [],
                    event if kept else {"event": event.get("event")},
                )

    def _repeated(self) -> dict[Place, int]:
        """Return each record that repeats another in its partition, and the offset of the first of them."""
        firsts: dict[tuple[int, str, int], int] = {}
        repeated: dict[Place, int] = {}
        for (partition, offset), copy in sorted(self._records.items()):
            first = firsts.setdefault((partition, copy.source, copy.attempt), offset)
            if first != offset:
                repeated[partition, offset] = first
        return repeated

    def _is_processed(self, place: Place) -> bool:
        partition, offset = place
        return offset < self._committed.get(partition, 0)

    def _trace(self, *, complete: bool) -> Trace:
        repeated = self._repeated()
        found = []
        for place in sorted(self._records):
            copy, event, letter = self._records[place], self._events.get(place), self._letters.get(place)
            if event is not None:
                fate = Fate.EVENT
            elif letter is not None:
                fate = Fate.DEAD_LETTER
            elif not self._is_processed(place):
                fate = Fate.WAITING
            else:
                fate = Fate.DUPLICATE if place in repeated else Fate.UNKNOWN
            found.append(
                TracedRecord(
                    self._settings.topics.raw,
                    *place,
                    copy.content,
                    copy.source,
                    copy.received_ms,
                    copy.attempt,
                    fate,
                    event,
                    letter,
                    repeated[place] if fate is Fate.DUPLICATE else None,
                )
            )
        return Trace(self._id, found, complete)

    def _expect(self, ranges: Iterable[OffsetRange]) -> None:
        self._total += sum(part.offsets for part in ranges)
        self._on_progress(self._done, self._total)

    def _read(self, offsets: int) -> None:
        self._done += offsets
        self._on_progress(self._done, self._total)
