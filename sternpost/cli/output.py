"""Output for people and scripts, progress of long work, and Ctrl-C.

Text from outside is shown, never obeyed; in a pipe no line is wrapped.
"""

import logging
import os
import signal
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from itertools import islice
from types import FrameType
from typing import Self

import click
import orjson
import structlog
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars
from rich.table import Table
from rich.text import Text

from sternpost.operations.printable import printable

WIDE = 1_000
"""Columns when standard output is not a terminal, so that nothing is wrapped."""

PLAIN_INTERVAL_S = 10.0


def text(foreign: str, style: str = "") -> Text:
    """Return `foreign`, made printable, as a rich text; markup in it is not interpreted."""
    return Text(printable(foreign), style)


def console(*, soft_wrap: bool = False) -> Console:
    """Return a console on standard output, as wide as the terminal."""
    found = Console(highlight=False, markup=False, soft_wrap=soft_wrap)
    return found if found.is_terminal else Console(highlight=False, markup=False, width=WIDE, soft_wrap=soft_wrap)


def table(*headers: str, folded: tuple[str, ...] = ()) -> Table:
    """Return a table without lines. On a narrow terminal only the columns in `folded` give up width."""
    made = Table(box=None, pad_edge=False, header_style="bold")
    for header in headers:
        made.add_column(header, overflow="fold", no_wrap=header not in folded, min_width=14 * (header in folded))
    return made


def pluralize(number: int, one: str) -> str:
    """Return a number and its noun: `1 broker`, `2 brokers`."""
    return f"{number} {one}{'' if number == 1 else 's'}"


def echo_json(value: object) -> None:
    """Print one line of JSON that holds nothing a terminal would obey."""
    click.echo(printable(orjson.dumps(value, default=str).decode()))


def echo_json_with_list(value: Mapping[str, object], name: str, items: Iterable[object]) -> None:
    """Print one line of JSON, as `echo_json`: an object with `value` and, last, the list, of which not all is held."""
    head = orjson.dumps(dict(value), default=str).removesuffix(b"}").decode()
    click.echo(printable(f'{head},"{name}":['), nl=False)
    left, separator = iter(items), ""
    while some := list(islice(left, 1_000)):
        click.echo(printable(separator + orjson.dumps(some, default=str)[1:-1].decode()), nl=False)
        separator = ","
    click.echo("]}")


def silence_logs() -> None:
    """Drop log lines, for a command that reports the same events in its own words."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))


class Progress:
    """Progress over many records: a bar on a terminal, elsewhere a plain line every few seconds.

    It goes to standard error, so that output for scripts stays clean.
    """

    def __init__(self, what: str, *, transient: bool = False) -> None:
        """Start without a total. `what` says what is done to the records: `sent back`. A transient bar vanishes."""
        self._what = what
        self._console = Console(stderr=True)
        self._bars = Bars(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
            console=self._console,
            disable=not self._console.is_terminal,
            transient=transient,
        )
        self._task = self._bars.add_task(what, total=None, rate="")
        self._total = self._done = 0
        self._started = self._said = time.monotonic()

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    def start(self, total: int, what: str | None = None) -> None:
        """Start counting the rate, with `total` records to come. `what` replaces the name of the work."""
        self._what = what or self._what
        self._total, self._done = total, 0
        self._started = self._said = time.monotonic()
        self._bars.reset(self._task, total=total, description=self._what, rate="")

    def at(self, done: int, total: int) -> None:
        """Set the count to `done` of `total` records."""
        if not done:
            self.start(total)
        else:
            self.advance(done - self._done)

    def advance(self, count: int) -> None:
        """Add `count` records to those done."""
        self._done += count
        now = time.monotonic()
        rate = self._done / max(now - self._started, 1e-9)
        self._bars.update(self._task, completed=self._done, rate=f"{rate:,.0f}/s")
        if not self._console.is_terminal and now - self._said >= PLAIN_INTERVAL_S:
            self._said = now
            left = (self._total - self._done) / rate if rate else 0.0
            self._console.print(
                f"{self._what}: {self._done} of {self._total}, {rate:,.0f}/s, about {left:.0f} s left",
                highlight=False,
                soft_wrap=True,
            )


@contextmanager
def graceful_interrupt() -> Iterator[threading.Event]:
    """Let a command finish what it has in hand: the first Ctrl-C or SIGTERM sets the event that this yields.

    The second raises KeyboardInterrupt.
    """
    interrupted = threading.Event()

    def ask(number: int, _: FrameType | None) -> None:
        if interrupted.is_set():
            raise KeyboardInterrupt
        interrupted.set()
        # Not through Python's buffers: the interrupted code may be in the middle of writing to them. Ctrl-C ends `tee`,
        # too, and then nobody reads.
        with suppress(OSError):
            os.write(2, b"\nstopping after what is in hand; press Ctrl-C again to stop at once\n")

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield interrupted
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
