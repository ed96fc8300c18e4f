"""The limit on dead letters that are Sternpost's own fault: a bad deploy must not dead-letter the world.

Only what an upgrade mends counts: `internal_error` and `unencodable`, of records that come for the first time. Bodies
that make no sense never count, nor do letters that were sent back and fail again: no sender and no redrive can stop the
processor.
"""

from collections import deque
from collections.abc import Sequence

from processor.pipeline.dedup_key import attempt_of
from processor.pipeline.records import DeadLetter, Event, Outcome, RawRecord
from runtime.errors import ProcessorHaltedError
from schemas.error_codes import ErrorCode

OWN_FAULTS = frozenset({ErrorCode.INTERNAL_ERROR, ErrorCode.UNENCODABLE})


class DeadLetterLimit:
    """Watches the last `window` records that became an event or failed by a fault of ours.

    Exact, whatever the batches they come in. Duplicates, what senders cause and letters that were sent back are not
    among these records: a flood of them must not hide a fault either.
    """

    def __init__(self, ratio: float, window: int) -> None:
        """Trip once more than `ratio` of the last `window` records failed by a fault of ours; 1 never trips."""
        self._window = window
        self._most = ratio * window
        self._seen = 0
        self._failed: deque[int] = deque()
        """Of the records in the window, ordinals of those that failed."""
        self._then = self._seen, self._failed
        """The same, once the batch that was checked last is committed."""

    def check(self, records: Sequence[RawRecord], outcomes: Sequence[Outcome]) -> None:
        """Take a batch into account; it counts once `committed` is called.

        Raises ProcessorHaltedError if the limit is passed.
        """
        seen, failed = self._seen, self._failed.copy()
        for record, outcome in zip(records, outcomes, strict=True):
            kind = type(outcome)
            if kind is Event:
                seen += 1
            elif kind is DeadLetter and outcome.code in OWN_FAULTS and not attempt_of(record):  # type: ignore[union-attr]
                seen += 1
                failed.append(seen)
                while failed[0] <= seen - self._window:
                    failed.popleft()
                if seen >= self._window and len(failed) > self._most:
                    raise ProcessorHaltedError(
                        f"{len(failed)} of the last {self._window} records became dead letters by a fault of "
                        f"Sternpost's own (the last: {outcome.code}), more than "  # type: ignore[union-attr]
                        "processor.dead_letter_limit_ratio allows; nothing was lost, and the batch in hand was not "
                        "committed. `sternpost replay --from 1h --dry-run` says which records and why: go back to the "
                        "version before, or raise the limit (1 never stops) and redrive the letters after an upgrade"
                    )
        self._then = seen, failed

    def committed(self) -> None:
        """The batch that was checked last was committed."""
        self._seen, self._failed = self._then
