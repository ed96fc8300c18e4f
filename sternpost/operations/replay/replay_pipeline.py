"""Map ranges of the raw topic with this version's code, and tell duplicates as the processor does."""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from processor.deduplication.deduplicator import Deduplicator
from processor.deduplication.rocksdb_options import RocksDBResources
from processor.deduplication.state_restore import KafkaRestoreConsumer, StateRestore
from processor.deduplication.state_store import NullStateStore, StateDirectory, StateError
from processor.pipeline.pipeline import BatchProcessor, build_pipeline
from processor.pipeline.records import DeadLetter, Event, Outcome, RawRecord, raw_records
from runtime import temporary
from runtime.errors import ClientUnusableError, DependencyError
from runtime.graceful_interrupt import StopRequest
from runtime.kafka import range_consumer
from runtime.kafka.config import record_limits
from runtime.kafka.range_consumer import OffsetRange
from runtime.settings.model import Settings
from sternpost.operations.replay.filters import Filters


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
        self._folder = temporary.folder("sternpost-replay-")
        self._states = (
            StateDirectory(
                Path(self._folder.name),
                settings.topics.raw,
                "",
                window_ms,
                RocksDBResources(settings.processor.state_memory_bytes),
            )
            if window_ms
            else None
        )

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for partition in self._deduplicator.partitions:
            self._deduplicator.remove(partition)
        self._folder.cleanup()

    def __enter__(self) -> Self:
        return self

    def restore_window(self, interrupted: StopRequest) -> None:
        """Read the deduplication window before each range. Raises DependencyError."""
        restore = StateRestore(self._deduplicator, KafkaRestoreConsumer(self._settings))
        try:
            for offset_range in self._ranges:
                partition, start = offset_range.partition, offset_range.start
                state = self._states.open(partition, start) if self._states else NullStateStore(start)
                if start == 0:
                    state.next_offset = 0  # no record was ever before it
                self._deduplicator.add(partition, state)
                restore.start(partition, start)
            while restore.partitions and not interrupted:
                restore.poll()
        except ClientUnusableError as error:
            raise DependencyError(
                f"{self._settings.topics.raw} could not be read ({error}); run the command again once the brokers do"
            ) from None
        except StateError as error:
            raise self._unusable_folder(error) from None
        finally:
            restore.close()

    def batches(self, most: int) -> Iterator[ReplayBatch]:
        """Yield the mapped ranges, at most `most` records at a time. Raises DependencyError."""
        for messages in range_consumer.read_ranges(self._settings, self._settings.topics.raw, self._ranges, most):
            records, _ = raw_records(self._settings.topics.raw, messages)
            yield self._map(records)

    def _map(self, records: list[RawRecord]) -> ReplayBatch:
        next_offsets = {record.partition: record.offset + 1 for record in records}
        try:
            outcomes = self._batch_processor(records)
            self._deduplicator.prepare_commit(next_offsets)
            self._deduplicator.commit(next_offsets)
        except StateError as error:
            raise self._unusable_folder(error) from None
        passing = [pair for pair in zip(records, outcomes, strict=True) if self._filters.match(pair[0])]
        return ReplayBatch(passing, len(records) - len(passing), next_offsets)

    def _unusable_folder(self, error: StateError) -> DependencyError:
        return DependencyError(
            f"the temporary folder {self._folder.name} cannot be used ({error}); free space on its disk, or set TMPDIR "
            "to another folder. Run the command again to resume"
        )
