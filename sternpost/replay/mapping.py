"""The range mapped by today's code, duplicates told apart as the processor tells them."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from processor.catch_up import CatchUp
from processor.core import Core
from processor.deduplication import Deduplicator
from processor.history import KafkaHistory
from processor.pipeline import build
from processor.records import Outcome, RawRecord
from processor.state import Forgetful, StateError, StateMemory
from processor.state_folder import StateFolder
from processor.transport import Broken
from runtime import temporary
from runtime.errors import DependencyError
from runtime.kafka.config import record_limits
from runtime.settings import Settings
from sternpost import reader
from sternpost.reader import Span
from sternpost.replay.filters import Filters


class Mapped(NamedTuple):
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


class Mapping(AbstractContextManager["Mapping"]):
    """Knows what the window before each span held, so that what was a duplicate then is one again: a record is a
    duplicate of an earlier one only, in the range or before it."""

    def __init__(self, settings: Settings, spans: Sequence[Span], filters: Filters, schema_id: int) -> None:
        """`schema_id` frames the events."""
        window_ms = settings.processor.dedup_window_s * 1000
        self._settings, self._spans, self._filters = settings, spans, filters
        self._deduplicator = Deduplicator(window_ms)
        max_event_bytes = record_limits(settings).events
        self._core = Core(
            self._deduplicator,
            build(settings.processor.profile, schema_id=schema_id, max_event_bytes=max_event_bytes),
        )
        self._scratch = temporary.folder("sternpost-replay-")
        self._states = (
            StateFolder(
                Path(self._scratch.name),
                settings.topics.raw,
                "",
                window_ms,
                StateMemory(settings.processor.state_memory_bytes),
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
        catch_up = CatchUp(self._deduplicator, KafkaHistory(self._settings))
        try:
            for span in self._spans:
                state = self._states.open(span.partition, span.start) if self._states else Forgetful(span.start)
                if span.start == 0:
                    state.complete_up_to = 0  # nothing was ever before it
                self._deduplicator.add(span.partition, state)
                catch_up.begin(span.partition, span.start)
            while catch_up.partitions and not interrupted():
                catch_up.step()
        except Broken as error:
            raise DependencyError(
                f"{self._settings.topics.raw} could not be read ({error}); run the command again when the brokers do"
            ) from None
        except StateError as error:
            raise self._disk(error) from None
        finally:
            catch_up.close()

    def batches(self, most: int) -> Iterator[Mapped]:
        """The spans, mapped, at most `most` records at a time. Raises DependencyError."""
        for messages in reader.read_spans(self._settings, self._settings.topics.raw, self._spans, most):
            yield self._mapped([reader.raw_record(message) for message in messages])

    def _mapped(self, records: list[RawRecord]) -> Mapped:
        positions = {record.partition: record.offset + 1 for record in records}
        try:
            outcomes = self._core(records)
            self._deduplicator.seal(positions)
            self._deduplicator.settle(positions)
        except StateError as error:
            raise self._disk(error) from None
        taken = [pair for pair in zip(records, outcomes, strict=True) if self._filters.take(pair[0])]
        return Mapped(taken, len(records) - len(taken), positions)

    def _disk(self, error: StateError) -> DependencyError:
        return DependencyError(
            f"the temporary folder {self._scratch.name} cannot be used ({error}); free its disk, or set TMPDIR to "
            "another. Run the command again to go on"
        )
