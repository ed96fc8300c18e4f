"""The limit on dead letters that are Sternpost's own fault: a bad deploy must not dead-letter the world.

Only failures that an upgrade can fix count: `internal_error` and `unencodable`, of records without an `attempt` header.
Invalid bodies never count, and neither do redriven letters that fail again: no sender and no redrive can stop the
processor.
"""

from collections import deque
from collections.abc import Sequence

from processor.pipeline.records import DeadLetter, Event, Outcome, RawRecord, attempt_of
from runtime.errors import ProcessorHaltedError
from schemas.error_codes import ErrorCode

OWN_FAULTS = frozenset({ErrorCode.INTERNAL_ERROR, ErrorCode.UNENCODABLE})


class DeadLetterLimit:
    """Watches the last `window` records that became an event or failed by our own fault.

    The count is exact however the records are batched. It leaves out duplicates, failures that senders cause and
    redriven letters: a flood of them must not hide a fault.
    """

    def __init__(self, ratio: float, window: int) -> None:
        """Halt once more than `ratio` of the last `window` records failed by our own fault. With 1 it never halts."""
        self._window = window
        self._most = ratio * window
        self._seen = 0
        self._failed: deque[int] = deque()
        """The ordinals of the records in the window that failed."""
        self._then = self._seen, self._failed
        """The values of both once the last checked batch is committed."""

    def check(self, records: Sequence[RawRecord], outcomes: Sequence[Outcome]) -> None:
        """Check a batch; it counts once `committed` is called.

        Raises ProcessorHaltedError if the limit is exceeded.
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
        """Count the last checked batch, which was committed."""
        self._seen, self._failed = self._then
