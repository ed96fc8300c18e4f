"""Counts each committed batch on the metrics that `runtime/metrics.py` declares."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from processor.pipeline.records import DeadLetter, Duplicate, Event, Outcome, RawRecord, source_of
from runtime import metrics
from schemas import record_headers

OTHER_SOURCE = "other"
"""The label of every source that is not configured: anyone who can write to the raw topic can invent names."""


class Tally(NamedTuple):
    """The counts of a batch, without the batch."""

    records: int
    events: int
    duplicates: int
    dead_letters: Counter[tuple[str, str]]
    """Error code and source → number."""


class BatchMetrics:
    """The metrics of one worker. Only committed batches are counted."""

    def __init__(self, sources: Collection[str] = ()) -> None:
        """Count dead letters by the names in `sources`, and all others as `other`."""
        self._sources = frozenset({*sources, record_headers.DEFAULT_SOURCE})
        self._events = metrics.PROCESSOR_EVENTS.labels()
        self._duplicates = metrics.PROCESSOR_DUPLICATES.labels()
        self._records = metrics.PROCESSOR_TRANSACTION_RECORDS.labels()
        self._state_bytes = metrics.PROCESSOR_STATE_BYTES.labels()

    def tally(self, records: Sequence[RawRecord], outcomes: Sequence[Outcome]) -> Tally:
        """Return the counts of a batch, so that the batch itself need not be kept until it is committed."""
        kinds = Counter(map(type, outcomes))
        dead: Counter[tuple[str, str]] = Counter()
        if kinds[DeadLetter]:
            for record, outcome in zip(records, outcomes, strict=True):
                if type(outcome) is DeadLetter:
                    source = source_of(record)
                    dead[outcome.code.value, source if source in self._sources else OTHER_SOURCE] += 1
        return Tally(len(outcomes), kinds[Event], kinds[Duplicate], dead)

    def record_commit(self, tally: Tally) -> None:
        """Count a committed batch, unless it has no records and only passes transaction markers."""
        if not tally.records:
            return
        self._records.observe(tally.records)
        self._events.inc(tally.events)
        self._duplicates.inc(tally.duplicates)
        for (code, source), number in tally.dead_letters.items():
            metrics.PROCESSOR_DEAD_LETTERS.labels(code, source).inc(number)

    def record_state(self, lag: Mapping[int, int], state_bytes: int) -> None:
        """Set the lag of each partition in records, and the size of all states in bytes."""
        for partition, records in lag.items():
            metrics.PROCESSOR_LAG.labels(str(partition)).set(records)
        self._state_bytes.set(state_bytes)

    def reset_lag(self, partitions: Iterable[int]) -> None:
        """Set the lag of partitions to 0, because another worker reports it from now on."""
        for partition in partitions:
            metrics.PROCESSOR_LAG.labels(str(partition)).set(0)
