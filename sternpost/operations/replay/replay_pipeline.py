"""The range mapped by today's code, duplicates told apart as the processor tells them."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from processor.deduplication.deduplicator import Deduplicator
from processor.deduplication.restore_consumer import KafkaRestoreConsumer
from processor.deduplication.state_directory import StateFolder
from processor.deduplication.state_restore import StateRestore
from processor.deduplication.state_store import NullStateStore, RocksDBResources, StateError
from processor.interfaces import ClientUnusableError
from processor.messages import raw_records
from processor.pipeline.batch import BatchProcessor
from processor.pipeline.pipeline import build_pipeline
from processor.pipeline.records import Outcome, RawRecord
from runtime import temporary
from runtime.errors import DependencyError
from runtime.kafka import range_consumer
from runtime.kafka.config import record_limits
from runtime.kafka.range_consumer import OffsetRange
from runtime.settings.model import Settings
from sternpost.operations.replay.filters import Filters


class ReplayBatch(NamedTuple):
    """One batch of the range."""

    outcomes: list[tuple[RawRecord, Outcome]]
    """Of the records that pass the filters."""
    passed_over: int
    """Records that do not."""
    positions: dict[int, int]
    """The next offset to read, by partition, once the batch is done with."""

    def tally(self) -> Counter[str]:
        """`events`, `duplicates`, `filtered`, and dead letters by their code."""
        counts: Counter[str] = Counter({"filtered": self.passed_over})
        for _, outcome in self.outcomes:
            kind = type(outcome).__name__
            counts[{"Event": "events", "Duplicate": "duplicates"}.get(kind) or outcome.code.value] += 1  # type: ignore[union-attr]
        return counts


class ReplayPipeline(AbstractContextManager["ReplayPipeline"]):
    """Knows what the window before each span held, so that what was a duplicate then is one again: a record is a
    duplicate of an earlier one only, in the range or before it."""

    def __init__(self, settings: Settings, spans: Sequence[OffsetRange], filters: Filters, schema_id: int) -> None:
        """`schema_id` frames the events."""
        window_ms = settings.processor.dedup_window_s * 1000
        self._settings, self._spans, self._filters = settings, spans, filters
        self._deduplicator = Deduplicator(window_ms)
        max_event_bytes = record_limits(settings).events
        self._core = BatchProcessor(
            self._deduplicator,
            build_pipeline(settings.processor.profile, schema_id=schema_id, max_event_bytes=max_event_bytes),
        )
        self._scratch = temporary.folder("sternpost-replay-")
        self._states = (
            StateFolder(
                Path(self._scratch.name),
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
        self._scratch.cleanup()

    def __enter__(self) -> Self:
        return self

    def warm_up(self, interrupted: Callable[[], bool] = lambda: False) -> None:
        """Reads the deduplication window before the spans. Raises DependencyError."""
        catch_up = StateRestore(self._deduplicator, KafkaRestoreConsumer(self._settings))
        try:
            for span in self._spans:
                state = self._states.open(span.partition, span.start) if self._states else NullStateStore(span.start)
                if span.start == 0:
                    state.complete_up_to = 0  # nothing was ever before it
                self._deduplicator.add(span.partition, state)
                catch_up.begin(span.partition, span.start)
            while catch_up.partitions and not interrupted():
                catch_up.step()
        except ClientUnusableError as error:
            raise DependencyError(
                f"{self._settings.topics.raw} could not be read ({error}); run the command again when the brokers do"
            ) from None
        except StateError as error:
            raise self._disk(error) from None
        finally:
            catch_up.close()

    def batches(self, most: int) -> Iterator[ReplayBatch]:
        """The spans, mapped, at most `most` records at a time. Raises DependencyError."""
        for messages in range_consumer.read_ranges(self._settings, self._settings.topics.raw, self._spans, most):
            records, _ = raw_records(self._settings.topics.raw, messages)
            yield self._mapped(records)

    def _mapped(self, records: list[RawRecord]) -> ReplayBatch:
        positions = {record.partition: record.offset + 1 for record in records}
        try:
            outcomes = self._core(records)
            self._deduplicator.seal(positions)
            self._deduplicator.settle(positions)
        except StateError as error:
            raise self._disk(error) from None
        taken = [pair for pair in zip(records, outcomes, strict=True) if self._filters.take(pair[0])]
        return ReplayBatch(taken, len(records) - len(taken), positions)

    def _disk(self, error: StateError) -> DependencyError:
        return DependencyError(
            f"the temporary folder {self._scratch.name} cannot be used ({error}); free its disk, or set TMPDIR to "
            "another. Run the command again to go on"
        )
