"""Every event as it is committed, and beside it the webhook that it came from."""

from collections.abc import Callable

import orjson
from nicegui import ui

from runtime.errors import SternpostError
from schemas.track_event import iso
from sternpost.console import background
from sternpost.console.live_events import MOST, LiveEvent
from sternpost.console.page import Page, PageView
from sternpost.console.pages import event as event_page
from sternpost.console.payload import payload
from sternpost.console.refresher import show_error
from sternpost.console.text import Text
from sternpost.operations.raw_record import read_raw_record

ROWS = 50
"""Events that the list shows at once; the filters look at all that are kept."""
TICK_S = 0.5


def build(view: PageView) -> None:
    """Put the page together."""
    live = _Live(view)
    view.console.events.watch()
    view.client.on_delete(view.console.events.leave)
    ui.timer(TICK_S, live.tick)


class _Live:
    def __init__(self, view: PageView) -> None:
        self._view = view
        self._seen = 0
        """The number of the newest event that was looked at."""
        self._missed = 0
        self._matched = 0
        self._paused = False
        self._rows: list[ui.element] = []
        self._chosen: ui.element | None = None
        self._gaps = view.console.events.gaps

        self._banner = ui.element("div").classes("banner").props("role=status")
        with ui.element("div").classes("bar form"):
            self._person = _filter("Person", self._filtered, "An id or address; it stays on this page.")
            self._name = _filter("Event", self._filtered)
            names = [source.name for source in view.settings.sources]
            self._source = _filter("Source", self._filtered, options=names)
            self._channel = _filter("Channel", self._filtered, options=["email", "push", "sms", "in_app", "customer"])
            self._pause = ui.button("Pause", icon="pause", on_click=self._toggle).props("outline no-caps")
        with ui.element("div").classes("pair live"):
            with ui.element("section").classes("card list").props('aria-label="Events"'):
                self._status = ui.label("").classes("quiet status").props("role=status")
                scrolled = ui.element("div").classes("scroll-x")
                scrolled.props('tabindex=0 role=group aria-label="List of events"')
                with scrolled, ui.element("table").classes("plain events"):
                    with ui.element("thead"), ui.element("tr"):
                        for head in ("written", "event", "channel", "source", "person"):
                            Text("th", head).props("scope=col")
                    self._body = ui.element("tbody")
            self._detail = ui.element("section").classes("card detail").props('aria-label="The event"')
        with self._detail:
            ui.label("Choose an event to see it beside its webhook.").classes("quiet")

    def tick(self) -> None:
        """Show what has come since the last time."""
        events = self._view.console.events
        problem = events.problem or self._view.console.monitor.problem
        if problem is not None:
            show_error(self._banner, problem)
        elif self._banner.default_slot.children:
            self._banner.clear()
            self._banner.classes(remove="banner-fault")
        if self._paused:
            self._say(events.newest)
            return
        found, missed = events.since(self._seen)
        self._missed += missed
        if found:
            self._seen = found[-1].number
            self._add([event for event in found if self._passes(event)])
        self._say(events.newest)

    def _add(self, matching: list[LiveEvent]) -> None:
        self._matched += len(matching)
        with self._body:
            for event in matching[-ROWS:]:
                row = self._row(event)
                row.move(target_index=0)
                self._rows.insert(0, row)
        for row in self._rows[ROWS:]:
            row.delete()
        del self._rows[ROWS:]

    def _row(self, event: LiveEvent) -> ui.element:
        with ui.element("tr").classes("event-row") as row:
            Text("td", iso(event.tailed.written_ms)[11:23], "mono")
            with ui.element("td"), ui.element("button").classes("link").props("type=button") as name:
                Text("span", event.name[:200])
            Text("td", event.channel[:40])
            Text("td", event.source[:80])
            Text("td", event.nickname, "mono quiet")
        name.on("click", lambda: self._open(event, row))
        return row

    def _say(self, newest: int) -> None:
        behind = newest - self._seen
        words = [f"{self._seen:,} events since this page began to look"] if newest else ["Waiting for the next event"]
        if self._filtering():
            words.append(f"{self._matched:,} pass the filters")
        if self._paused:
            words.append(f"paused, {behind:,} more have come")
        if self._missed:
            words.append(f"{self._missed:,} were dropped: only the last {MOST:,} are kept")
        if self._view.console.events.gaps > self._gaps:
            words.append("Kafka was away: events in between are not in this list")
        self._status.text = "; ".join(words) + "."

    def _toggle(self) -> None:
        self._paused = not self._paused
        self._pause.text = "Go on" if self._paused else "Pause"
        self._pause.props(f"icon={'play_arrow' if self._paused else 'pause'}")

    def _filtered(self) -> None:
        """Begin the list again with what is kept, since the filters have changed."""
        for row in self._rows:
            row.delete()
        self._rows.clear()
        self._matched = 0
        found, _ = self._view.console.events.since(0)
        self._add([event for event in found if event.number <= self._seen and self._passes(event)])

    def _filtering(self) -> bool:
        return any(entry.value for entry in (self._person, self._name, self._source, self._channel))

    def _passes(self, event: LiveEvent) -> bool:
        person, name = str(self._person.value or "").strip(), str(self._name.value or "").strip().lower()
        source, channel = str(self._source.value or "").strip(), str(self._channel.value or "").strip().lower()
        return (
            (not person or person in event.people or person == event.nickname)
            and name in event.name.lower()
            and (not source or source == event.source)
            and (not channel or channel == event.channel.lower())
        )

    async def _open(self, event: LiveEvent, row: ui.element) -> None:
        if self._chosen is not None and not self._chosen.is_deleted:
            self._chosen.classes(remove="chosen")
        self._chosen = row
        row.classes(add="chosen")
        view, topics = self._view, self._view.settings.topics
        self._detail.clear()
        with self._detail:
            Text("h2", event.name)
            if event.event_id:
                with ui.link(target=event_page.address(event.source, event.event_id, event.raw_place)):
                    Text("span", "Everything about this event, and why")
            with ui.element("div").classes("pair"):
                webhook = ui.element("div").classes("half")
                with ui.element("div").classes("half"):
                    place = f"{topics.events} {event.tailed.partition}:{event.tailed.offset}"
                    Text("h3", "Event")
                    Text("p", place, "mono quiet place")
                    payload(view, orjson.dumps(event.tailed.event), record=place)
        raw = event.raw_place
        if raw is None:
            return
        with webhook:
            Text("h3", "Webhook")
            Text("p", f"{topics.raw} {raw[0]}:{raw[1]}", "mono quiet place")
            waiting = ui.spinner(size="18px")
            banner = ui.element("div").classes("banner")
        try:
            record = await background.call(lambda: read_raw_record(view.settings, *raw))
        except SternpostError as error:
            if not banner.is_deleted:
                waiting.delete()
                show_error(banner, error)
            return
        if webhook.is_deleted:
            return
        waiting.delete()
        with webhook:
            payload(view, record.value or b"", record=f"{topics.raw} {raw[0]}:{raw[1]}")


def _filter(label: str, changed: Callable[[], None], hint: str = "", options: list[str] | None = None) -> ui.input:
    entry = ui.input(label, on_change=changed, autocomplete=options or []).props(
        "outlined dense clearable debounce=300"
    )
    entry.classes("filter")
    if hint:
        entry.props["title"] = hint
    return entry


PAGE = Page("/live", "Live", "bolt", "tail", build)
