"""Replay: what would change if a range were mapped again, and mapping it again."""

from typing import Any

from nicegui import ui

from runtime.errors import CheckFailedError, SternpostError
from sternpost.console.explanation import covering, value_text
from sternpost.console.page import Page, PageView
from sternpost.console.refresher import show_error
from sternpost.console.replay_run import ReplayRequest, ReplayRun, Target, replay_command
from sternpost.console.table import Cell, table
from sternpost.operations.printable import printable
from sternpost.operations.replay.dry_run import Difference, DryRunResult
from sternpost.operations.replay.replay import ReplayResult

_TICK_S = 0.3
MOST_FIELDS = 200


class ReplayPage:
    """One opening of the page. It shows the run that is under way, whichever page started it."""

    def __init__(self, view: PageView) -> None:
        self._view = view
        self._shown: ReplayRun | None = None
        self._tried: ReplayRequest | None = None
        """The request of the last dry run that had a result: only what was tried is replayed."""
        self._before = ReplayRun.last_ended(view.console)
        """The run that had ended when the page was opened, which may be long ago."""
        with ui.element("div").classes("stack"):
            with ui.element("section").classes("card stack").props('aria-label="Range"'):
                self._range()
            with ui.element("section").classes("card stack").props('aria-label="Run"'):
                self._target_and_buttons()
            self._banner = ui.element("div").classes("banner").props("role=alert")
            self._result = ui.element("div").classes("stack").props("role=status")
        ui.timer(_TICK_S, self._tick)
        self._changed()

    def _range(self) -> None:
        def given(label: str, placeholder: str = "", value: str = "", hint: str = "") -> ui.input:
            made = ui.input(label, value=value, placeholder=placeholder, on_change=self._changed)
            return made.props(f'outlined dense hint="{hint}"').classes("field")

        with ui.element("h2"):
            ui.label(f"Which records of {self._view.settings.topics.raw}")
        with ui.element("div").classes("fields"):
            self._start = given("From", value="24h", hint="2h, 2026-11-24T03:00:00Z, offset:12, 0:7,3:9")
            self._end = given("To", value="end", hint="The record there is left out.")
            self._partitions = given("Partitions", "all", hint="0,3")
            self._sources = given("Sources", "all", hint="With commas between them.")
            self._object_types = given("Object types", "all", hint="email, push, …")
            self._people = given("People", "all", hint="Customer id, cio_id, email or recipient.")
        self._skip = ui.checkbox("If retention has removed part of the range, take the rest", on_change=self._changed)

    def _target_and_buttons(self) -> None:
        allowed = self._view.console.allowed is not None
        with ui.element("h2"):
            ui.label("See what would change, then write")
        events = self._view.settings.topics.events
        with ui.element("div").classes("fields"):
            self._live = (
                ui.select(
                    {"topic": "another topic", "live": f"{events}: sinks read the events again"},
                    value="topic",
                    label="Write to",
                    on_change=self._changed,
                )
                .props("outlined dense options-dense")
                .classes("field")
            )
            self._topic = ui.input("Topic", placeholder=f"{events}.again", on_change=self._changed)
            self._topic.props('outlined dense hint="It is created if missing."').classes("field")
            self._rate = ui.number("Records a second", placeholder="no limit", min=0.1, on_change=self._changed)
            self._rate.props('outlined dense hint="The most, to spare the brokers."').classes("field")
        self._again = ui.checkbox("Start over, even if it has finished or was stopped", on_change=self._changed)
        self._command = ui.label("").classes("command")
        with ui.element("div").classes("bar"):
            self._dry = ui.button("Dry run", on_click=self._try).props("outline no-caps")
            self._write = ui.button("Replay", icon="replay", on_click=self._replay)
            self._write.props("unelevated no-caps color=primary")
            self._stop = ui.button("Stop", icon="stop", on_click=self._cancel).props("outline no-caps")
        if not allowed:
            ui.label("This console is read-only; one started with --allow-changes can replay.").classes("quiet")
        self._bar = ui.linear_progress(0.0, show_value=False).props('aria-label="Progress of the replay"')
        self._progress = ui.label("").classes("quiet").props("role=status")

    def _request(self) -> ReplayRequest:
        def text(given: ui.input) -> str:
            return str(given.value or "").strip()

        return ReplayRequest(
            text(self._start),
            text(self._end) or "end",
            text(self._partitions),
            text(self._sources),
            text(self._object_types),
            text(self._people),
            bool(self._skip.value),
        )

    def _target(self) -> Target:
        rate = float(self._rate.value) if self._rate.value else None
        topic = None if self._live.value == "live" else str(self._topic.value or "").strip()
        return Target(topic, rate, bool(self._again.value))

    def _changed(self) -> None:
        request, target = self._request(), self._target()
        self._view.show_command(replay_command(request, None))
        self._topic.set_visibility(target.topic is not None)
        wanted = target if target.topic != "" else Target("TOPIC", target.rate, target.again)
        self._command.text = f"sternpost {replay_command(request, wanted)}"
        self._arrange()

    def _try(self) -> None:
        self._begin(self._request(), None)

    def _replay(self) -> None:
        target = self._target()
        if target.topic == "":
            show_error(self._banner, CheckFailedError("name the topic to write to"))
            return
        self._begin(self._request(), target)

    def _begin(self, request: ReplayRequest, target: Target | None) -> None:
        self._clear()
        try:
            ReplayRun(self._view.console, request, target).begin(self._view.console)
        except SternpostError as error:
            show_error(self._banner, error)
        self._arrange()

    def _cancel(self) -> None:
        run = ReplayRun.current(self._view.console)
        if run is not None:
            run.cancel()

    def _clear(self) -> None:
        self._banner.clear()
        self._banner.classes(remove="banner-fault")
        self._result.clear()

    def _arrange(self) -> None:
        """Enable and show what can be used now."""
        run = ReplayRun.current(self._view.console)
        running = run is not None and run.running
        allowed = self._view.console.allowed is not None
        self._dry.set_enabled(not running)
        self._write.set_enabled(not running and allowed and self._tried == self._request())
        self._stop.set_visibility(running)
        self._bar.set_visibility(running)
        self._progress.set_visibility(running)

    def _tick(self) -> None:
        run = ReplayRun.current(self._view.console)
        if run is None:
            return
        if run.running:
            self._bar.value, self._progress.text = run.progress()
            self._arrange()
        elif self._shown is not run:
            self._shown, error = run, run.error()
            if run is not self._before and run.target is None and error is None:
                self._tried = run.request
            self._arrange()
            self._clear()
            if error is not None:
                show_error(self._banner, error)
                return
            with self._result:
                self._show(run, run.ended.result())

    def _show(self, run: ReplayRun, result: object) -> None:
        if isinstance(result, DryRunResult):
            self._show_difference(run, result)
        elif isinstance(result, ReplayResult):
            with ui.element("section").classes("card stack").props('aria-label="Result"'):
                resumed = "; it went on where it had stopped" if result.resumed else ""
                ui.label(f"{result.counts['events']:,} events written to {result.target}{resumed}").classes("outcome")
                for name in ("duplicates", "filtered"):
                    if result.counts[name]:
                        ui.label(f"{result.counts[name]:,} {name}")
                for code, number in sorted(result.dead_letters.items()):
                    ui.label(f"{number:,} dead letters, not written: {code}").classes("warn")
                if not result.finished:
                    ui.label("Stopped; it goes on where it stopped.").classes("warn")
                    target = Target(run.target.topic, run.target.rate) if run.target else None
                    ui.button("Go on", icon="play_arrow", on_click=lambda: self._begin(run.request, target)).props(
                        "unelevated no-caps color=primary"
                    )

    def _show_difference(self, run: ReplayRun, result: DryRunResult) -> None:
        difference, topics = result.difference, self._view.settings.topics
        with ui.element("section").classes("card stack").props('aria-label="What would change"'):
            with ui.element("h2"):
                ui.label("What would change")
            if run.cancelled:
                ui.label("Stopped: this covers only a part of the range.").classes("warn")
            read = ", ".join(f"{at.partition}:{at.start}…{at.end - 1}" for at in result.ranges)
            ui.label(f"{difference.records:,} raw records, compared with {topics.events}").classes("outcome")
            ui.label(f"{topics.raw} {read}").classes("quiet wrap")
            with ui.element("div").classes("bar"):
                for name, tag in (("unchanged", "good"), ("changed", "warn"), ("added", "warn"), ("removed", "bad")):
                    number = getattr(difference, name)
                    ui.label(f"{number:,} {name}").classes(f"tag tag-{tag}" if number else "tag")
                ui.label(f"{difference.duplicates:,} duplicates").classes("tag")
                for code, number in difference.dead_letters.most_common():
                    ui.label(f"{number:,} dead letters: {code}").classes("tag tag-bad")
            if result.unreadable:
                ui.label(f"{result.unreadable:,} records of {topics.events} cannot be read as events").classes("warn")
            self._show_fields(difference)
            self._show_examples(difference)

    def _show_fields(self, difference: Difference) -> None:
        if not difference.fields:
            return
        fields = sorted(difference.fields.items(), key=lambda item: -item[1].total)
        table(
            "Fields that would change",
            ("field", "changed", "added", "removed", "for example"),
            [
                (
                    printable(path),
                    f"{change.changed:,}",
                    f"{change.added:,}",
                    f"{change.removed:,}",
                    self._examples(path, change.examples),
                )
                for path, change in fields[:MOST_FIELDS]
            ],
            numbers=("changed", "added", "removed"),
        )
        if len(fields) > MOST_FIELDS:
            ui.label(f"{len(fields) - MOST_FIELDS:,} more fields; the command prints all of them").classes("quiet")

    def _examples(self, path: str, examples: list[dict[str, Any]]) -> Cell:
        def put() -> None:
            with ui.element("div"):
                for example in examples:
                    put_one(example)

        def put_one(example: dict[str, Any]) -> None:
            place = str(example["raw"])
            show = covering(self._view, f"{self._view.settings.topics.raw} {place}")
            with ui.element("div").classes("example"):
                ui.link(place, f"/mapping#raw={place}")
                for name, arrow in (("before", ""), ("after", "→")):
                    if arrow:
                        ui.label(arrow).classes("inline")
                    if example[name] is None:
                        ui.label("absent").classes("inline quiet")
                    else:
                        show(path, value_text(example[name]))

        return put

    def _show_examples(self, difference: Difference) -> None:
        rows: list[tuple[Cell, Cell, Cell]] = [
            (
                what.replace("_", " ").removesuffix("s"),
                _place(str(example["raw"])),
                printable(str(example.get("because", ""))),
            )
            for what, examples in difference.examples.items()
            for example in examples
        ]
        if rows:
            with ui.element("h3"):
                ui.label("Examples")
            table("Examples of records", ("what", "raw record", "why"), rows)


def _place(at: str) -> Cell:
    return lambda: ui.link(at, f"/mapping#raw={at}")


def build(view: PageView) -> None:
    """Put the page together."""
    ReplayPage(view)


PAGE = Page("/replay", "Replay", "history", "replay --from 24h --dry-run", build)
