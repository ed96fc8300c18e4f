"""A replay, or its dry run, that goes on when its page is closed."""

import shlex
import threading
from collections.abc import Callable
from dataclasses import dataclass

from runtime.errors import CheckFailedError
from sternpost.console.run import Run
from sternpost.console.shared import Console
from sternpost.operations.replay.dry_run import dry_run
from sternpost.operations.replay.replay import Replay
from sternpost.operations.replay.replay_pipeline import Filters
from sternpost.operations.requested_range import RequestedRange


@dataclass(frozen=True)
class ReplayRequest:
    """What the page asks for, as people write it."""

    start: str
    end: str
    partitions: str = ""
    """Numbers with commas between them; all if empty, like the following."""
    sources: str = ""
    object_types: str = ""
    people: str = ""
    skip_expired: bool = False

    def requested(self) -> RequestedRange:
        """Return the range. Raises CheckFailedError if it is written wrongly."""
        partitions = _words(self.partitions)
        if not all(number.isdecimal() and len(number) < 10 for number in partitions):
            raise CheckFailedError("give partitions as numbers with commas between them: 0,3")
        try:
            return RequestedRange.parse(
                self.start, self.end, [int(number) for number in partitions], skip_expired=self.skip_expired
            )
        except ValueError as error:
            raise CheckFailedError(str(error)) from None

    def filters(self) -> Filters:
        """Return the filters."""
        return Filters(
            frozenset(_words(self.sources)),
            frozenset(word.lower() for word in _words(self.object_types)),
            frozenset(_words(self.people)),
        )

    def options(self) -> list[str]:
        """Return the same as options of `sternpost replay`."""
        found = ["--from", self.start, "--to", self.end]
        for option, text in (
            ("--partition", self.partitions),
            ("--source", self.sources),
            ("--object-type", self.object_types),
            ("--person", self.people),
        ):
            found += [part for word in _words(text) for part in (option, word)]
        return [*found, *(["--skip-expired"] if self.skip_expired else [])]


@dataclass(frozen=True)
class Target:
    """Where a replay writes, and how."""

    topic: str | None
    """None for the topic that sinks read."""
    rate: float | None = None
    """The most raw records a second; None for no limit."""
    again: bool = False

    def options(self) -> list[str]:
        """Return the same as options of `sternpost replay`."""
        found = ["--live"] if self.topic is None else ["--to-topic", self.topic]
        found += [] if self.rate is None else ["--rate", f"{self.rate:g}"]
        return [*found, *(["--again"] if self.again else [])]


def replay_command(request: ReplayRequest, target: Target | None) -> str:
    """Return the command that does the same; `target` is None for a dry run."""
    return f"replay {shlex.join([*request.options(), *(['--dry-run'] if target is None else target.options())])}"


class ReplayRun(Run):
    """One run. Its result is a DryRunResult or a ReplayResult."""

    kind = "replay"

    def __init__(self, console: Console, request: ReplayRequest, target: Target | None) -> None:
        """Prepare it; `begin` starts it. Without a target it is a dry run. Raises CheckFailedError."""
        super().__init__(self._do)
        self.request, self.target = request, target
        self.stage = "offsets read and compared" if target is None else "offsets replayed"
        self._console = console
        self._requested, self._filters = request.requested(), request.filters()

    def _do(self, stop: threading.Event, report: Callable[[int, int], None]) -> object:
        def on_start(total: int) -> None:
            report(0, total)

        def on_done(number: int) -> None:
            report(self.done + number, self.total)

        settings = self._console.settings
        if self.target is None:
            return dry_run(
                settings,
                self._requested.resolve(settings),
                self._filters,
                show_values=True,  # the page covers them
                interrupted=stop,
                on_start=on_start,
                on_done=on_done,
            )
        target = self.target
        with Replay(
            settings, self._console.allowed, self._requested, self._filters, target.topic, again=target.again
        ) as replay:
            return replay.run(rate=target.rate, interrupted=stop, on_start=on_start, on_done=on_done)


def _words(text: str) -> list[str]:
    return [word for part in text.split(",") if (word := part.strip())]
