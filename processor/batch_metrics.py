"""What the loop counts: series looked up once, counted a batch at a time."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from processor.pipeline.dedup_key import source_of
from processor.pipeline.records import DeadLetter, Duplicate, Event, Outcome, RawRecord
from runtime import metrics
from schemas import record_headers

OTHER_SOURCE = "other"
"""Stands for every source that is not configured: anyone who may write to the raw topic can invent names."""


class Tally(NamedTuple):
    """What a batch comes to, without the batch."""

    records: int
    events: int
    duplicates: int
    dead_letters: Counter[tuple[str, str]]
    """By code and source."""


class BatchMetrics:
    """Of one worker; only what was committed counts."""

    def __init__(self, sources: Collection[str] = ()) -> None:
        """`sources`: names that dead letters are counted by; all others count as `other`."""
        self._sources = frozenset({*sources, record_headers.DEFAULT_SOURCE})
        self._events = metrics.PROCESSOR_EVENTS.labels()
        self._duplicates = metrics.PROCESSOR_DUPLICATES.labels()
        self._records = metrics.PROCESSOR_TRANSACTION_RECORDS.labels()
        self._state_bytes = metrics.PROCESSOR_STATE_BYTES.labels()

    def tally(self, records: Sequence[RawRecord], outcomes: Sequence[Outcome]) -> Tally:
        """Count a batch, so that nothing of it needs to be kept until it is committed."""
        kinds = Counter(map(type, outcomes))
        dead: Counter[tuple[str, str]] = Counter()
        if kinds[DeadLetter]:
            for record, outcome in zip(records, outcomes, strict=True):
                if type(outcome) is DeadLetter:
                    source = source_of(record)
                    dead[outcome.code.value, source if source in self._sources else OTHER_SOURCE] += 1
        return Tally(len(outcomes), kinds[Event], kinds[Duplicate], dead)

    def record_commit(self, tally: Tally) -> None:
        """A transaction was; one without records, which only passes over transaction markers, is not counted."""
        if not tally.records:
            return
        self._records.observe(tally.records)
        self._events.inc(tally.events)
        self._duplicates.inc(tally.duplicates)
        for (code, source), number in tally.dead_letters.items():
            metrics.PROCESSOR_DEAD_LETTERS.labels(code, source).inc(number)

    def record_state(self, lag: Mapping[int, int], state_bytes: int) -> None:
        """How far each partition is behind, and what their states take up."""
        for partition, records in lag.items():
            metrics.PROCESSOR_LAG.labels(str(partition)).set(records)
        self._state_bytes.set(state_bytes)

    def reset_lag(self, partitions: Iterable[int]) -> None:
        """Partitions whose lag is another worker's to tell."""
        for partition in partitions:
            metrics.PROCESSOR_LAG.labels(str(partition)).set(0)
