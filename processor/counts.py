"""What the loop counts: series looked up once, counted a batch at a time."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from processor.records import DeadLetter, Event, Outcome
from runtime import metrics


class Counts:
    """Of one worker; only what was committed counts."""

    def __init__(self) -> None:
        self._events = metrics.PROCESSOR_EVENTS.labels()
        self._duplicates = metrics.PROCESSOR_DUPLICATES.labels()
        self._records = metrics.PROCESSOR_TRANSACTION_RECORDS.labels()
        self._state_bytes = metrics.PROCESSOR_STATE_BYTES.labels()

    def committed(self, outcomes: Sequence[Outcome]) -> None:
        """A transaction was."""
        kinds = Counter(map(type, outcomes))
        self._events.inc(kinds[Event])
        self._records.observe(len(outcomes))
        if kinds[Event] == len(outcomes):
            return
        dead = Counter(outcome.code.value for outcome in outcomes if type(outcome) is DeadLetter)
        for code, number in dead.items():
            metrics.PROCESSOR_DEAD_LETTERS.labels(code).inc(number)
        self._duplicates.inc(len(outcomes) - kinds[Event] - dead.total())

    def now(self, lag: Mapping[int, int], state_bytes: int) -> None:
        """How far each partition is behind, and what their states take up."""
        for partition, records in lag.items():
            metrics.PROCESSOR_LAG.labels(str(partition)).set(records)
        self._state_bytes.set(state_bytes)

    def gone(self, partitions: Iterable[int]) -> None:
        """Partitions whose lag is another worker's to tell."""
        for partition in partitions:
            metrics.PROCESSOR_LAG.labels(str(partition)).set(0)
