"""A redrive, or its dry run, that goes on when its page is closed, and can be stopped and gone on with."""

import threading
from collections.abc import Callable

from sternpost.console.run import Run
from sternpost.console.shared import Console
from sternpost.operations.dead_letters.redrive import RedrivePlan, RedriveResult, plan, redrive
from sternpost.operations.dead_letters.selection import Selection


class RedriveRun(Run):
    """One run. Its result is a RedriveResult or a RedrivePlan, or None if it was stopped before there was a plan."""

    kind = "redrive"

    def __init__(
        self, console: Console, selection: Selection, options: list[str], *, dry: bool, even_if_failing: bool
    ) -> None:
        """Prepare it; `begin` starts it. `options` of the command stand for the selection. `dry` sends nothing."""
        super().__init__(self._do)
        self.selection, self.options, self.dry, self.even_if_failing = selection, options, dry, even_if_failing
        self.stage = "read"
        self._console = console

    def _do(self, stop: threading.Event, report: Callable[[int, int], None]) -> RedriveResult | RedrivePlan | None:
        def stage(name: str) -> Callable[[int, int], None]:
            def at(done: int, total: int) -> None:
                if stop.is_set() and self.dry:
                    raise KeyboardInterrupt
                self.stage = name
                report(done, total)

            return at

        def on_sent(number: int) -> None:
            report(self.done + number, self.total)

        def on_plan(planned: RedrivePlan) -> None:
            stage("sent back")(0, len(planned.letters))

        settings, failing = self._console.settings, self.even_if_failing
        try:
            if self.dry:
                return plan(
                    settings,
                    self.selection,
                    even_if_failing=failing,
                    on_read=stage("read"),
                    on_mapped=stage("mapped"),
                )
            return redrive(
                settings,
                self._console.allowed,
                self.selection,
                even_if_failing=failing,
                interrupted=stop,
                on_read=stage("read"),
                on_mapped=stage("mapped"),
                on_plan=on_plan,
                on_sent=on_sent,
            )
        except KeyboardInterrupt:  # as both operations end if they are stopped before there is a plan
            return None
