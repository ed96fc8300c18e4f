"""Dead letters: how many of which kind, one of them with its fault marked, and sending them back."""

import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from nicegui import events, ui

from runtime.errors import SternpostError
from schemas.track_event import iso
from sternpost.console import background
from sternpost.console.letter import show_letter
from sternpost.console.letter_filters import Filters, describe_group
from sternpost.console.page import Page, PageView
from sternpost.console.redrive_panel import RedrivePanel
from sternpost.console.refresher import show_error
from sternpost.console.table import Cell, table
from sternpost.operations.dead_letters.index import GroupKey
from sternpost.operations.dead_letters.listing import DeadLetterListing, OverTime, list_dead_letters, page
from sternpost.operations.dead_letters.opened import open_dead_letter
from sternpost.operations.dead_letters.record import DeadLetterRecord, PartitionOffset
from sternpost.operations.dead_letters.selection import Selection
from sternpost.operations.printable import printable

MOST_RECORDS = 100_000
"""Records that the page looks at, so that it takes seconds and some megabytes whatever the topic holds."""
LIMIT_S = 120.0
ROWS = 25
_AT = re.compile(r"(\d{1,9}):(\d{1,18})")


@dataclass
class State:
    """What one opening of the page has chosen."""

    filters: Filters = field(default_factory=Filters)
    skip: int = 0
    checked: set[PartitionOffset] = field(default_factory=set)
    """Letters that were chosen one by one; none for all that the filters show."""


class DeadLettersPage:
    """One opening of the page."""

    def __init__(self, view: PageView) -> None:
        self._view, self._state = view, State()
        self._asked = 0
        self._listing: DeadLetterListing | None = None
        with ui.element("div").classes("stack"):
            self._banner = ui.element("div").classes("banner").props("role=alert")
            self._filter_bar()
            self._status = ui.label("").classes("quiet").props("role=status")
            self._groups = ui.element("div").classes("grid grid-pair")
            self._panel = RedrivePanel(view, self._selection, self._options, self._load)
            self._list = ui.element("section").classes("card stack").props('aria-label="List of dead letters"')
        self._dialog = ui.dialog().props('aria-label="A dead letter"')
        ui.timer(0.0, self._open_first, once=True)

    def _filter_bar(self) -> None:
        filters = self._state.filters
        with ui.element("div").classes("bar"):
            self._since = ui.input("Failed since", value=filters.since, placeholder="24h").props("outlined dense")
            self._until = ui.input("Until", placeholder="now").props("outlined dense")
            for given in (self._since, self._until):
                given.classes("take-place").on("keydown.enter", self._apply)
            self._redriven = ui.checkbox("Also those sent back", on_change=self._apply)
            ui.button("Show", on_click=self._apply).props("outline no-caps")
            self._chosen = ui.element("div").classes("bar")

    async def _open_first(self) -> None:
        await self._load()
        place = _AT.fullmatch(self._view.query.get("at", ""))
        if place is not None:
            await self._open((int(place[1]), int(place[2])))

    async def _apply(self) -> None:
        filters = self._state.filters
        filters.since, filters.until = (self._since.value or "").strip(), (self._until.value or "").strip()
        filters.redriven = bool(self._redriven.value)
        await self._load()

    async def _choose(self, group: GroupKey | None) -> None:
        self._state.filters.group = group
        self._chosen.clear()
        if group is not None:
            with self._chosen:
                ui.label(describe_group(group)).classes("tag")
                ui.button("All kinds", icon="close", on_click=lambda: self._choose(None)).props("flat dense no-caps")
        await self._load()

    async def _load(self) -> None:
        """Read what the filters ask for, and show it. What was shown stays if brokers are away."""
        self._asked += 1
        asked, settings = self._asked, self._view.settings
        self._state.skip = 0
        self._state.checked.clear()
        self._status.text = f"reading {settings.topics.dead_letters} …"
        try:
            selection = self._state.filters.selection()
            listing = await background.call(
                lambda: list_dead_letters(settings, selection, ROWS, most_records=MOST_RECORDS), limit_s=LIMIT_S
            )
        except SternpostError as error:
            if asked == self._asked and not self._view.client.is_deleted:
                self._status.text = ""
                show_error(self._banner, error)
            return
        if asked == self._asked and not self._view.client.is_deleted:
            self._banner.clear()
            self._banner.classes(remove="banner-fault")
            self._listing = listing
            self._show(listing)

    def _show(self, listing: DeadLetterListing) -> None:
        options = shlex.join([*self._state.filters.options(), *(["--all"] if self._state.filters.redriven else [])])
        limit = f"--limit {ROWS} --most-records {MOST_RECORDS}"
        self._view.show_command(" ".join(filter(None, ("dead-letters list", options, limit))))
        looked = listing.looked_at
        said = [f"{listing.total:,} dead letters"]
        if not looked.complete:
            since = "" if looked.since_ms is None else f", everything since {_second(looked.since_ms)}"
            said.append(f"among {looked.records:,} of {looked.of:,} records that were read{since}")
        if looked.redrives_unread:
            said.append("some of them may have been sent back since")
        self._status.text = "; ".join(said)
        self._groups.clear()
        with self._groups:
            if listing.total:
                with ui.element("section").classes("card").props('aria-label="Kinds"'):
                    with ui.element("h2"):
                        ui.label("Kinds")
                    self._show_groups(listing)
                with ui.element("section").classes("card").props('aria-label="Over time"'):
                    with ui.element("h2"):
                        ui.label("Over time")
                    _chart(listing.over_time)
        self._show_list(listing.newest)
        self._panel.selection_changed()

    def _show_groups(self, listing: DeadLetterListing) -> None:
        def choose(group: GroupKey) -> Cell:
            return lambda: _link(group.code, lambda: self._choose(group))

        table(
            "Kinds of dead letters",
            ("code", "field", "source", "letters", "last"),
            [
                (
                    choose(group.key),
                    printable(group.key.field or ""),
                    printable(group.key.source),
                    f"{group.letters:,}",
                    _second(group.last_ms)[5:16],
                )
                for group in listing.groups[:100]
            ],
            numbers=("letters",),
            whole=("code", "source", "last"),
            tall=True,
        )
        if len(listing.groups) > 100:
            ui.label(f"{len(listing.groups) - 100:,} smaller groups; the command prints all of them").classes("quiet")

    def _show_list(self, letters: list[DeadLetterRecord]) -> None:
        total = self._listing.total if self._listing else 0
        first = self._state.skip
        self._list.clear()
        with self._list:
            with ui.element("div").classes("bar"):
                with ui.element("h2").classes("grow"):
                    ui.label("Letters, the newest first" if total else "No dead letters")
                if total > ROWS:
                    ui.label(f"{first + 1:,} to {first + len(letters):,} of {total:,}").classes("quiet")
                    newer = ui.button("Newer", on_click=lambda: self._turn(-ROWS)).props("flat dense no-caps")
                    older = ui.button("Older", on_click=lambda: self._turn(ROWS)).props("flat dense no-caps")
                    newer.set_enabled(first > 0)
                    older.set_enabled(first + len(letters) < total)
            if letters:
                table(
                    "Dead letters",
                    ("choose", "at", "failed", "code", "field", "source", "tries", "why"),
                    [self._row(letter) for letter in reversed(letters)],
                    numbers=("tries",),
                    whole=("at", "failed", "code", "source"),
                )

    def _row(self, letter: DeadLetterRecord) -> list[Cell]:
        at = letter.partition_offset
        place = f"{at[0]}:{at[1]}"

        def choose() -> None:
            def changed(change: events.ValueChangeEventArguments[Any]) -> None:
                (self._state.checked.add if change.value else self._state.checked.discard)(at)
                self._panel.selection_changed()

            box = ui.checkbox(value=at in self._state.checked, on_change=changed)
            box.props(f'dense aria-label="Choose {place}"').set_enabled(not letter.redriven)

        def link() -> None:
            _link(place, lambda: self._open(at)).props(f'aria-label="Open {place}"')

        code = f"{letter.code} (sent back)" if letter.redriven else letter.code
        return [
            choose,
            link,
            _second(letter.failed_at_ms),
            printable(code),
            printable(letter.field or ""),
            printable(letter.source),
            str(letter.attempt + 1),
            printable(letter.message[:300]),
        ]

    async def _turn(self, by: int) -> None:
        if self._listing is None:
            return
        settings, letters = self._view.settings, self._listing.letters
        skip = max(0, min(self._state.skip + by, len(letters) - 1))
        try:
            found = await background.call(lambda: page(settings, letters, ROWS, skip), limit_s=LIMIT_S)
        except SternpostError as error:
            show_error(self._banner, error)
            return
        self._state.skip = skip
        self._show_list(found)

    async def _open(self, at: PartitionOffset) -> None:
        settings = self._view.settings
        try:
            opened = await background.call(lambda: open_dead_letter(settings, at), limit_s=LIMIT_S)
        except SternpostError as error:
            show_error(self._banner, error)
            return
        self._view.show_command(f"dead-letters show {at[0]}:{at[1]}")
        self._dialog.clear()
        with self._dialog, ui.element("div").classes("card letter"):
            show_letter(self._view, opened, self._dialog.close)
        self._dialog.open()

    def _selection(self) -> Selection:
        """Return what a redrive is to send: the letters chosen one by one, else all that the filters show."""
        if self._state.checked:
            return Selection(at=frozenset(self._state.checked))
        return replace(self._state.filters.selection(), redriven=False)

    def _options(self) -> tuple[str, list[str]]:
        """Return the selection in words and as options."""
        if checked := sorted(self._state.checked):
            options = [word for at in checked for word in ("--at", f"{at[0]}:{at[1]}")]
            return f"the {len(checked)} chosen above" if len(checked) > 1 else "the one chosen above", options
        group = self._state.filters.group
        what = "all that failed" if group is None else f"all of {describe_group(group)}"
        since, until = self._state.filters.since, self._state.filters.until
        return f"{what}{f' since {since}' if since else ''}{f' until {until}' if until else ''}", (
            self._state.filters.options()
        )


def _link(text: str, clicked: Callable[[], object]) -> ui.button:
    """Put a button that looks like a link."""
    return ui.button(printable(text), on_click=clicked).props("flat dense no-caps").classes("link")


def _second(ms: int) -> str:
    return iso(ms)[:19].replace("T", " ")


def _chart(over_time: OverTime) -> None:
    day = over_time.step_ms >= 86_400_000
    times = [iso(ms)[:10] if day else iso(ms)[5:16].replace("T", " ") for ms in over_time.starts_ms]
    axis = {"axisLabel": {"color": "#7f93a0"}, "axisLine": {"lineStyle": {"color": "#7f93a0"}}}
    ui.echart(
        {
            "animation": False,
            "grid": {"left": 44, "right": 8, "top": 34, "bottom": 26},
            "legend": {"top": 0, "left": 0, "textStyle": {"color": "#7f93a0"}, "icon": "roundRect", "type": "scroll"},
            "tooltip": {"trigger": "axis", "confine": True},
            "color": ["#2f7fb8", "#d9822b", "#c2453f", "#7a5fb5", "#3a9a6b", "#b0913a", "#5b8f9c", "#8c6d5a"],
            "xAxis": {"type": "category", "data": times, **axis},
            "yAxis": {"type": "value", "minInterval": 1, "splitLine": {"lineStyle": {"color": "#7f93a044"}}, **axis},
            "series": [
                {"name": printable(code), "type": "bar", "stack": "all", "barMaxWidth": 26, "data": counts}
                for code, counts in over_time.by_code.items()
            ],
        }
    ).classes("letters-chart").props(
        'role=img aria-label="Dead letters over time, by code; the table of kinds has the numbers"'
    )


def build(view: PageView) -> None:
    """Put the page together."""
    DeadLettersPage(view)


PAGE = Page("/dead-letters", "Dead letters", "mark_email_unread", "dead-letters list", build)
