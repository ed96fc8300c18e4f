"""Work that goes on when its page is closed: a redrive, a replay. There is one of each kind at a time."""

import asyncio
from typing import ClassVar, Self

from runtime.errors import SternpostError
from sternpost.console.background import Job
from sternpost.console.failures import report
from sternpost.console.shared import Console


class Run(Job[object]):
    """One run of a kind; pages find the last one, whether it has ended or not, among the console's jobs."""

    kind: ClassVar[str]
    stage = ""
    """What `done` and `total` count: `12 of 40 sent back`."""
    ended: "asyncio.Task[object]"

    def begin(self, console: Console) -> bool:
        """Start it, unless one of its kind is under way; return whether it started."""
        before = self.current(console)
        if before is not None and before.running:
            return False
        console.jobs[self.kind] = self
        self.ended = self.start()
        self.ended.add_done_callback(self._report_fault)
        return True

    def error(self) -> SternpostError | None:
        """Return why it has failed; None if it has not. Pages show it, and never raise it again: they would be kept."""
        found = self.ended.exception()
        if found is None or isinstance(found, SternpostError):
            return found
        return SternpostError("this failed for a reason that is a fault of ours", "the console's log names the place")

    def _report_fault(self, ended: "asyncio.Task[object]") -> None:
        if not ended.cancelled() and (found := ended.exception()) is not None and not isinstance(found, SternpostError):
            report(found, f"a {self.kind} failed")

    @classmethod
    def current(cls, console: Console) -> Self | None:
        """Return the run that was started last; None if there was none."""
        found = console.jobs.get(cls.kind)
        return found if isinstance(found, cls) else None

    @classmethod
    def last_ended(cls, console: Console) -> Self | None:
        """Return the run that was started last if it has ended."""
        run = cls.current(console)
        return None if run is None or run.running else run

    def progress(self) -> tuple[float, str]:
        """Return the part that is done, from 0 to 1, and the progress in words."""
        stopping = ", stopping after what is in hand" if self.cancelled else ""
        return min(1.0, self.done / self.total) if self.total else 0.0, (
            f"{self.done:,} of {self.total:,} {self.stage}{stopping}"
        )
