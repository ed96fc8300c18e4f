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
        """Of the records in the window, ordinals of those that became dead letters."""
        self._dead_then = self._dead
        """The same, once the batch that was checked last is committed."""

    def check(self, outcomes: Sequence[Outcome]) -> None:
        """Raises Halted where the limit would be passed with this batch, which counts once it was `committed`."""
        dead = self._dead.copy()
        for ordinal, outcome in enumerate(outcomes, self._seen + 1):
            if type(outcome) is DeadLetter:
                dead.append(ordinal)
                while dead[0] <= ordinal - self._window:
                    dead.popleft()
                if ordinal >= self._window and len(dead) > self._most:
                    raise Halted(
                        f"{len(dead)} of the last {self._window} records became dead letters (the last: "
                        f"{outcome.code}), more than processor.dead_letter_limit_ratio allows; nothing was lost, and "
                        "the batch in hand was not committed. `sternpost replay --from 1h --dry-run` says what is at "
                        "fault: mend it and start again, or raise the limit"
                    )
        self._dead_then = dead

    def committed(self, outcomes: Sequence[Outcome]) -> None:
        """The batch that was checked last was committed."""
        self._dead = self._dead_then
        self._seen += len(outcomes)
