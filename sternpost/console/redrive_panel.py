"""The part of the page Dead letters that sends them back: a dry run, then the redrive, with progress."""

import shlex
from collections.abc import Awaitable, Callable

from nicegui import ui

from runtime.errors import SternpostError
from sternpost.console.page import PageView
from sternpost.console.redrive_run import RedriveRun
from sternpost.console.refresher import show_error
from sternpost.operations.dead_letters.redrive import RedrivePlan, RedriveResult
from sternpost.operations.dead_letters.selection import Selection

_TICK_S = 0.3


class RedrivePanel:
    """Shows the run that is under way, whichever page started it."""

    def __init__(
        self,
        view: PageView,
        selection: Callable[[], Selection],
        words: Callable[[], tuple[str, list[str]]],
        on_sent: Callable[[], Awaitable[None]],
    ) -> None:
        """Put the panel.

        `selection` returns what is to be sent now, `words` the same in words and as options of the command; `on_sent`
        is called when something was sent.
        """
        self._view, self._selection, self._words, self._on_sent = view, selection, words, on_sent
        self._shown: RedriveRun | None = None
        self._before = RedriveRun.last_ended(view.console)
        """The run that had ended when the page was opened: the list has what it sent, and it may be long ago."""
        self._tried: tuple[list[str], bool] | None = None
        """The choice of the dry run before, if that had a result: only what was tried is sent."""
        with ui.element("section").classes("card stack").props('aria-label="Redrive"'):
            with ui.element("h2"):
                ui.label("Send back")
            self._banner = ui.element("div").classes("banner").props("role=alert")
            self._what = ui.label("").classes("wrap")
            self._command = ui.label("").classes("command")
            with ui.element("div").classes("bar"):
                self._failing = ui.checkbox("Even those that would fail again", on_change=self.selection_changed)
                ui.element("span").classes("grow")
                self._dry = ui.button("Dry run", on_click=lambda: self._start(dry=True)).props("outline no-caps")
                self._send = ui.button("Redrive", icon="replay", on_click=lambda: self._start(dry=False))
                self._send.props("unelevated no-caps color=primary")
                self._stop = ui.button("Stop", icon="stop", on_click=self._cancel).props("outline no-caps")
            if view.console.allowed is None:
                ui.label("This console is read-only; one started with --allow-changes can send letters back.").classes(
                    "quiet"
                )
            self._bar = ui.linear_progress(0.0, show_value=False).props('aria-label="Progress of the redrive"')
            self._progress = ui.label("").classes("quiet").props("role=status")
            self._result = ui.element("div").props("role=status")
        ui.timer(_TICK_S, self._tick)
        self._arrange()

    def selection_changed(self) -> None:
        """Say what would be sent now, and by which command."""
        words, options = self._words()
        self._what.text = (
            f"Redrive {words}. Try it with a dry run first. Each letter goes back once, however often you stop it."
        )
        self._arrange()
        failing = ["--even-if-failing"] if self._failing.value else []
        self._command.text = f"sternpost dead-letters redrive {shlex.join([*options, *failing])}"

    def _choice(self) -> tuple[list[str], bool]:
        return self._words()[1], bool(self._failing.value)

    def _start(self, *, dry: bool) -> None:
        """Start with what is chosen now."""
        options, failing = self._choice()
        try:
            selection = self._selection()
        except SternpostError as error:
            self._clear()
            show_error(self._banner, error)
            return
        self._begin(RedriveRun(self._view.console, selection, options, dry=dry, even_if_failing=failing))

    def _go_on(self, stopped: RedriveRun) -> None:
        """Start again what was stopped."""
        options, failing = stopped.options, stopped.even_if_failing
        self._begin(RedriveRun(self._view.console, stopped.selection, options, dry=False, even_if_failing=failing))

    def _begin(self, run: RedriveRun) -> None:
        self._clear()
        run.begin(self._view.console)
        self._arrange()

    def _cancel(self) -> None:
        running = RedriveRun.current(self._view.console)
        if running is not None:
            running.cancel()

    async def _tick(self) -> None:
        run = RedriveRun.current(self._view.console)
        if run is None:
            return
        if run.running:
            self._bar.value, self._progress.text = run.progress()
            self._arrange()
        elif self._shown is not run:
            self._shown, error = run, run.error()
            result, is_new = None if error else run.ended.result(), run is not self._before
            tried = is_new and run.dry and result is not None
            self._tried = (run.options, run.even_if_failing) if tried else None
            self._arrange()
            self._clear()
            if error is not None:
                show_error(self._banner, error)
            self._show(run, result)
            if is_new and not run.dry:
                await self._on_sent()

    def _show(self, run: RedriveRun, result: object) -> None:
        topic = self._view.settings.topics.raw
        left = None
        with self._result:
            match result:
                case RedrivePlan():
                    _lines(f"{len(result.letters):,} would be sent back to {topic}", result)
                case RedriveResult():
                    _lines(f"{result.sent.total():,} sent back to {topic}", result.plan)
                    left = result.left
                case None if run.cancelled:
                    ui.label("Stopped; nothing was sent.")
            if not run.dry and (left or result is None):
                with ui.element("div").classes("bar"):
                    if left:
                        ui.label(f"Stopped: {left:,} are left.").classes("warn")
                    ui.button("Go on", icon="play_arrow", on_click=lambda: self._go_on(run)).props(
                        "unelevated no-caps color=primary"
                    )

    def _clear(self) -> None:
        self._banner.clear()
        self._banner.classes(remove="banner-fault")
        self._result.clear()

    def _arrange(self) -> None:
        """Enable and show what can be used now."""
        run = RedriveRun.current(self._view.console)
        running = run is not None and run.running
        self._dry.set_enabled(not running)
        self._send.set_enabled(not running and self._tried == self._choice() and self._view.console.allowed is not None)
        self._stop.set_visibility(running)
        self._bar.set_visibility(running)
        self._progress.set_visibility(running)


def _lines(first: str, planned: RedrivePlan) -> None:
    ui.label(first).classes("outcome")
    for code, number in planned.would_become.most_common():
        if code not in planned.failing:
            what = "events" if code == "event" else f"dead letters again: {code}"
            ui.label(f"{number:,} would become {what}").classes("good" if code == "event" else "warn")
    for code, number in planned.failing.most_common():
        ui.label(f"{number:,} left out: today's mapping would make dead letters of them again: {code}").classes("warn")
    if planned.exhausted:
        ui.label(f"{planned.exhausted.total():,} left alone: they were tried too often").classes("warn")
