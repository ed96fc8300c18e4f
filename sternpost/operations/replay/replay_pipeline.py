"""Map ranges of the raw topic with this version's code, and tell duplicates as the processor does."""

import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Self

from processor.deduplication.deduplicator import Deduplicator, StateStore
from processor.deduplication.rocksdb_options import RocksDBResources
from processor.deduplication.state_store import DISORDER_MS, NullStateStore, PartitionState, StateError
from processor.pipeline.pipeline import BatchProcessor, build_pipeline
from processor.pipeline.records import DeadLetter, Event, Outcome, RawRecord, identify, raw_records, source_of
from runtime import temporary
from runtime.kafka import range_consumer
from runtime.kafka.config import record_limits
from runtime.kafka.range_consumer import OffsetRange
from runtime.settings.model import Settings
from schemas.customerio.lossless_json import read
from schemas.error_codes import PayloadRejectedError
from schemas.mapping import tables

_IDS = ("customer_id", "recipient", "email_address")
_IDENTIFIERS = ("id", "email", "cio_id")


@dataclass(frozen=True)
class Filters:
    """Filters on raw records. A record has to pass each of them; an empty filter passes every record."""

    sources: frozenset[str] = frozenset()
    object_types: frozenset[str] = frozenset()
    """In lower case."""
    people: frozenset[str] = frozenset()
    """By any of their identifiers: the record's key, customer id, cio_id, email or recipient."""

    def match(self, record: RawRecord) -> bool:
        """Return whether the record passes. A body that is not JSON has no object type, and no person but its key."""
        if self.sources and source_of(record) not in self.sources:
            return False
        if not (self.object_types or self.people):
            return True
        try:
            body = read(record.value or b"")
        except PayloadRejectedError:
            body = None
        payload: dict[str, Any] = body if isinstance(body, dict) else {}
        if self.object_types:
            object_type = payload.get("object_type") or payload.get("object_type_type")
            if object_type is None and payload.get("metric") is None and isinstance(payload.get("event_type"), str):
                object_type, _ = tables.legacy_pair(payload["event_type"])
            if not isinstance(object_type, str) or object_type.lower() not in self.object_types:
                return False
        return not self.people or not self.people.isdisjoint(_people(record, payload))

    def as_text(self) -> str:
        """Return a text that is the same for equal filters; it is part of a replay's identity."""
        return repr([sorted(self.sources), sorted(self.object_types), sorted(self.people)])


def _people(record: RawRecord, payload: dict[str, Any]) -> set[str]:
    data = payload.get("data")
    data = data if isinstance(data, dict) else {}
    identifiers = data.get("identifiers")
    identifiers = identifiers if isinstance(identifiers, dict) else {}
    found = [*(data.get(name) for name in _IDS), *(identifiers.get(name) for name in _IDENTIFIERS)]
    key = {record.key.decode("utf-8", "replace")} if record.key else set()
    return key | {str(value) for value in found if isinstance(value, str | int)}


class ReplayBatch(NamedTuple):
    """One batch of records and what they become."""

    outcomes: list[tuple[RawRecord, Outcome]]
    """The records that pass the filters."""
    filtered: int
    """The number of records that do not."""
    next_offsets: dict[int, int]
    """By partition, the offset after the last record of the batch."""

    def tally(self) -> Counter[str]:
        """Count `events`, `duplicates`, `filtered`, and dead letters by their code."""
        counts: Counter[str] = Counter({"filtered": self.filtered})
        for _, outcome in self.outcomes:
            if isinstance(outcome, Event):
                counts["events"] += 1
            elif isinstance(outcome, DeadLetter):
                counts[outcome.code.value] += 1
            else:
                counts["duplicates"] += 1
        return counts


class ReplayPipeline(AbstractContextManager["ReplayPipeline"]):
    """The processor's pipeline over ranges of the raw topic.

    It restores the deduplication window before each range, so that a record counts as a duplicate only if an earlier
    record, in the range or before it, has the same event.
    """

    def __init__(self, settings: Settings, ranges: Sequence[OffsetRange], filters: Filters, schema_id: int) -> None:
        """`schema_id` is the registry's id that the events carry."""
        window_ms = settings.processor.dedup_window_s * 1000
        self._settings, self._ranges, self._filters = settings, ranges, filters
        self._deduplicator = Deduplicator(window_ms)
        self._batch_processor = BatchProcessor(
            self._deduplicator,
            build_pipeline(
                settings.processor.profile, schema_id=schema_id, max_event_bytes=record_limits(settings).events
            ),
        )
        self._window_ms = window_ms
        self._folder = temporary.reclaimed_folder("sternpost-replay-")
        self._memory = RocksDBResources(settings.processor.state_memory_bytes)

    def __exit__(self, *_: object) -> None:
        for partition in self._deduplicator.partitions:
            self._deduplicator.remove(partition)
        self._folder.cleanup()

    def __enter__(self) -> Self:
        return self

    def restore_window(self, interrupted: threading.Event) -> None:
        """Read the deduplication window before each range. Raises DependencyError."""
        topic = self._settings.topics.raw
        for offset_range in self._ranges:
            self._deduplicator.add(offset_range.partition, self._empty_state(offset_range))
        for messages in range_consumer.read_ranges(self._settings, topic, self._window() if self._window_ms else []):
            if interrupted.is_set():
                return
            records, _ = raw_records(topic, messages)
            with self._state_errors():
                self._deduplicator.find_duplicates(records, [identify(record).key for record in records])
                self._remember(records)

    def _empty_state(self, offset_range: OffsetRange) -> StateStore:
        if not self._window_ms:
            return NullStateStore(offset_range.start)
        folder = Path(self._folder.name, str(offset_range.partition))
        with self._state_errors():
            folder.mkdir()
            return PartitionState(folder, self._window_ms, self._memory)

    def _window(self) -> list[OffsetRange]:
        """Return the records before each range that its records can be duplicates of."""
        topic = self._settings.topics.raw
        first = range_consumer.first_messages(self._settings, topic, self._ranges)
        span_ms = self._window_ms + DISORDER_MS
        since_ms = {partition: max(0, message.timestamp()[1] - span_ms) for partition, message in first.items()}
        starts = range_consumer.offsets(self._settings, topic, since_ms)
        return [
            OffsetRange(there.partition, starts[there.partition], there.start)
            for there in self._ranges
            if starts.get(there.partition, -1) >= 0
        ]

    def batches(self, most: int) -> Iterator[ReplayBatch]:
        """Yield the mapped ranges, at most `most` records at a time. Raises DependencyError."""
        for messages in range_consumer.read_ranges(self._settings, self._settings.topics.raw, self._ranges, most):
            records, _ = raw_records(self._settings.topics.raw, messages)
            yield self._map(records)

    def _map(self, records: list[RawRecord]) -> ReplayBatch:
        with self._state_errors():
            outcomes = self._batch_processor(records)
            next_offsets = self._remember(records)
        passing = [pair for pair in zip(records, outcomes, strict=True) if self._filters.match(pair[0])]
        return ReplayBatch(passing, len(records) - len(passing), next_offsets)

    def _remember(self, records: list[RawRecord]) -> dict[int, int]:
        """Store what the last records added to the state; return the offset after them in each partition."""
        next_offsets = {record.partition: record.offset + 1 for record in records}
        self._deduplicator.prepare_commit(next_offsets)
        self._deduplicator.commit(next_offsets)
        return next_offsets

    @contextmanager
    def _state_errors(self) -> Iterator[None]:
        """Raise StateError and OSError as DependencyError."""
        try:
            yield
        except (StateError, OSError) as error:
            raise temporary.refused(self._folder.name, error, "the same command resumes") from None
