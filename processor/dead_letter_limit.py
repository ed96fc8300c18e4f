"""The limit on the share of dead letters: a bad deploy must not dead-letter the world."""

from collections import deque
from collections.abc import Sequence

from processor.records import DeadLetter, Outcome
from runtime.errors import Halted


class DeadLetterLimit:
    """Watches the last `window` records; exact, whatever the batches they come in."""

    def __init__(self, ratio: float, window: int) -> None:
        """Trips once more than `ratio` of the last `window` records are dead letters; a ratio of 1 never trips."""
        self._window = window
        self._most = ratio * window
        self._seen = 0
        self._dead: deque[int] = deque()

    def check(self, outcomes: Sequence[Outcome]) -> None:
        """Raises Halted where the limit is passed. Call it before the batch is committed: nothing of it then counts."""
        for ordinal, outcome in enumerate(outcomes, self._seen + 1):
            if type(outcome) is DeadLetter:
                self._dead.append(ordinal)
                while self._dead[0] <= ordinal - self._window:
                    self._dead.popleft()
                if ordinal >= self._window and len(self._dead) > self._most:
                    raise Halted(
                        f"{len(self._dead)} of the last {self._window} records became dead letters (the last: "
                        f"{outcome.code}), more than processor.dead_letter_limit_ratio allows; nothing was lost, and "
                        "the batch in hand was not committed. `sternpost replay --from 1h --dry-run` says what is at "
                        "fault: mend it and start again, or raise the limit"
                    )
        self._seen += len(outcomes)
