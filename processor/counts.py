"""What the loop counts: series looked up once, counted a batch at a time."""

from collections import Counter
from collections.abc import Sequence

from processor.records import DeadLetter, Event, Outcome
from runtime import metrics


class Counts:
    """Of one worker; only what was committed counts."""

    def __init__(self) -> None:
        self._events = metrics.PROCESSOR_EVENTS.labels()
        self._duplicates = metrics.PROCESSOR_DUPLICATES.labels()
        self._records = metrics.PROCESSOR_TRANSACTION_RECORDS.labels()
        self._lag = metrics.PROCESSOR_LAG.labels()

    def add(self, outcomes: Sequence[Outcome]) -> None:
        """A batch that was committed."""
        kinds = Counter(map(type, outcomes))
        self._events.inc(kinds[Event])
        self._records.observe(len(outcomes))
        if kinds[Event] == len(outcomes):
            return
        dead = Counter(outcome.code.value for outcome in outcomes if type(outcome) is DeadLetter)
        for code, number in dead.items():
            metrics.PROCESSOR_DEAD_LETTERS.labels(code).inc(number)
        self._duplicates.inc(len(outcomes) - kinds[Event] - dead.total())

    def lag(self, records: int) -> None:
        """How far this worker is behind."""
        self._lag.set(records)
