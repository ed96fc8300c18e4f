"""One event: its webhook, what became of it, and why."""

import shlex
from functools import partial
from urllib.parse import quote

import orjson
from nicegui import ui

from processor.pipeline.explanation import explain
from processor.pipeline.records import RawRecord
from runtime.errors import SternpostError
from schemas.track_event import iso
from sternpost.console import background
from sternpost.console.background import Job
from sternpost.console.explanation import show_explanation
from sternpost.console.masking import Masked, hint
from sternpost.console.page import Page, PageView
from sternpost.console.payload import payload, what_of
from sternpost.console.refresher import show_error
from sternpost.console.text import Text
from sternpost.operations.trace import Fate, Place, Trace, TracedRecord, trace

ANY_SOURCE = "-"
"""In an address, for events of whatever source."""
MOST_SHOWN = 50
"""Records on the page. There can be any number with one event id."""
EXPLAINED_BYTES = 65_536
"""Larger payloads are explained when asked: each value is tried in turn, and each time all of it is mapped."""

_TAGS = {
    Fate.EVENT: "tag tag-good",
    Fate.DEAD_LETTER: "tag tag-bad",
    Fate.DUPLICATE: "tag",
    Fate.WAITING: "tag tag-warn",
    Fate.UNKNOWN: "tag tag-warn",
}


def address(source: str, event_id: str, place: Place | None = None) -> str:
    """Return the address of an event; `place` is that of its webhook in the raw topic, which spares the search."""
    at = f"?raw={place[0]}:{place[1]}" if place is not None else ""
    return f"/event/{quote(source or ANY_SOURCE, safe='')}/{quote(event_id, safe='')}{at}"


def build(view: PageView) -> None:
    """Put the page together."""
    event_id, source = view.parameters.get("event_id", ""), view.parameters.get("source", ANY_SOURCE)
    _form(view, source, event_id)
    if event_id:
        named = "" if source == ANY_SOURCE else f" --source {shlex.quote(source)}"
        view.show_command(f"find {shlex.quote(event_id)}{named}")
        _EventPage(view, event_id, None if source == ANY_SOURCE else source)
    else:
        ui.label(
            "Give the event id of a webhook: Customer.io's event_id, which is the event's messageId. The page shows "
            "its webhook, what became of it, and why. Live and Dead letters link here."
        ).classes("quiet lead")


def _form(view: PageView, source: str, event_id: str) -> None:
    names = [found.name for found in view.settings.sources]
    if source != ANY_SOURCE and source not in names:
        names.append(source)

    def find() -> None:
        if wanted := entry.value.strip():
            ui.navigate.to(address(str(choice.value), wanted))

    with ui.element("div").classes("bar form"):
        entry = ui.input("Event id", value=event_id).props("outlined dense").classes("event-id")
        entry.on("keydown.enter", find)
        choice = (
            ui.select({ANY_SOURCE: "any source", **{name: name for name in names}}, value=source, label="Source")
            .props("outlined dense")
            .classes("choice")
        )
        ui.button("Find", on_click=find).props("unelevated no-caps color=primary")


class _EventPage:
    """The search, and what it has found so far."""

    def __init__(self, view: PageView, event_id: str, source: str | None) -> None:
        self._view, self._id = view, event_id
        self._found: Trace | None = None
        self._shown: Trace | None = None
        self._banner = ui.element("div").classes("banner").props("role=status")
        with ui.element("div").classes("bar search").props("role=status") as self._search:
            self._spinner = ui.spinner(size="18px")
            self._progress = ui.label("Searching …").classes("quiet")
            self._cancel = ui.button("Stop", on_click=self._stop).props("flat dense no-caps")
        self._records = ui.element("div").classes("stack")
        at = _place(view.query.get("raw", ""))
        self._job: Job[Trace] = Job(
            lambda stop, report: trace(
                view.settings,
                event_id,
                source,
                at=at,
                contents=MOST_SHOWN,
                stop=stop,
                on_progress=report,
                on_found=self._keep,
            )
        )
        self._timer = ui.timer(0.3, self._tick)
        ui.timer(0.0, self._run, once=True)

    def _keep(self, found: Trace) -> None:
        self._found = found  # in the search's thread; `_tick` shows it

    def _stop(self) -> None:
        self._job.cancel()
        self._cancel.disable()

    def _tick(self) -> None:
        if self._found is not self._shown and self._found is not None:
            self._show(self._found)
        if self._job.running and self._job.total:
            what = "Looking for copies of it" if self._shown else "Searching"
            self._progress.text = f"{what}: {self._job.done:,} of {self._job.total:,} records"

    async def _run(self) -> None:
        try:
            found = await self._view.start(self._job)
        except SternpostError as error:
            if not self._view.client.is_deleted:
                show_error(self._banner, error)
                self._search.set_visibility(False)
            return
        if self._view.client.is_deleted:
            return
        self._timer.cancel()
        self._show(found)
        self._spinner.delete()
        self._cancel.delete()
        if found.complete:
            self._search.set_visibility(not found.records)
            if not found.records:
                raw = self._view.settings.topics.raw
                self._progress.text = (
                    f"No webhook with this id is in {raw}. It may be older than topics.raw_retention_ms, or of another "
                    "source."
                )
        else:
            self._progress.text = "The search was stopped: there may be more copies than are shown."

    def _show(self, found: Trace) -> None:
        if self._shown is not None and _same(self._shown, found):
            self._shown = found
            return
        self._shown = found
        self._records.clear()
        with self._records:
            for record in found.records:
                if record.content is not None:
                    _record(self._view, record, record.content)
            if more := sum(record.content is None for record in found.records):
                ui.label(f"{more:,} more have this id; the command lists them all.").classes("quiet")


def _same(before: Trace, after: Trace) -> bool:
    """Return whether nothing new was found: what someone has uncovered stays uncovered then."""
    return [(found.place, found.fate) for found in before.records] == [
        (found.place, found.fate) for found in after.records
    ]


def _record(view: PageView, found: TracedRecord, content: RawRecord) -> None:
    raw = view.settings.topics.raw
    partition, offset = found.place
    place = f"{raw} {partition}:{offset}"
    with ui.element("section").classes("card record").props(f"id=raw-{partition}-{offset}"):
        with ui.element("div").classes("bar"):
            Text("h2", place, "record-place")
            Text("span", found.fate, _TAGS[found.fate])
            if found.attempt:
                Text("span", f"sent back {found.attempt} ×", "tag")
            Text("span", f"received {iso(found.received_ms)}", "quiet")
        with ui.element("div").classes("pair"):
            with ui.element("div").classes("half"):
                Text("h3", "Webhook")
                _headers(view, content, place)
                payload(
                    view,
                    content.value or b"",
                    field=found.letter.field if found.letter else None,
                    record=place,
                )
            with ui.element("div").classes("half"):
                _outcome(view, found)
        if found.fate is not Fate.DUPLICATE:
            _explanation(view, content, place)


def _headers(view: PageView, record: RawRecord, place: str) -> None:
    with ui.element("table").classes("plain pairs"), ui.element("tbody"):
        for name, value in record.headers:
            with ui.element("tr"):
                Text("th", name).props("scope=row")
                Text("td", (value or b"").decode("utf-8", "backslashreplace")[:500], "mono")
        with ui.element("tr"):
            Text("th", "key (the person)").props("scope=row")
            with ui.element("td"):
                if record.key is None:
                    Text("span", "none", "quiet")
                else:
                    Masked(view, "key", record.key.decode("utf-8", "backslashreplace"), record=place)


def _outcome(view: PageView, found: TracedRecord) -> None:
    topics = view.settings.topics
    if (event := found.event) is not None:
        Text("h3", str(event.event.get("event", "Event")))
        place = f"{topics.events} {event.partition}:{event.offset}"
        with ui.element("table").classes("plain pairs"), ui.element("tbody"):
            for name, text in [("place", place), ("written", iso(event.written_ms))]:
                with ui.element("tr"):
                    Text("th", name).props("scope=row")
                    Text("td", text, "mono")
            for name, value in event.headers:
                with ui.element("tr"):
                    Text("th", name).props("scope=row")
                    Text("td", (value or b"").decode("utf-8", "backslashreplace")[:500], "mono")
        payload(view, orjson.dumps(event.event), record=place)
    elif (letter := found.letter) is not None:
        Text("h3", "Dead letter")
        with ui.element("table").classes("plain pairs"), ui.element("tbody"):
            for name, text in [
                ("place", f"{topics.dead_letters} {letter.partition}:{letter.offset}"),
                ("failed", iso(letter.failed_at_ms)),
                ("code", letter.code),
                ("field", letter.field or "–"),
                ("why", letter.message),
                ("stage", letter.stage),
                ("sent back", "yes" if letter.redriven else "no"),
            ]:
                with ui.element("tr"):
                    Text("th", name).props("scope=row")
                    Text("td", text)
    elif found.duplicate_of is not None:
        Text("h3", "Duplicate")
        ui.label("The same source, event id and attempt came before; this copy produced nothing.")
        where = f"{found.place[0]}-{found.duplicate_of}"
        with ui.link(target=f"#raw-{where}"):
            Text("span", f"It repeats {topics.raw} {found.place[0]}:{found.duplicate_of}")
    elif found.fate is Fate.WAITING:
        Text("h3", "Not processed yet")
        ui.label("The processor has not come to this record. Overview shows how far it is behind, and why.")
    else:
        Text("h3", "No trace")
        ui.label(
            f"The processor has passed this record, but neither {topics.events} nor {topics.dead_letters} has anything "
            "of it that was found: retention may have removed it, or the search was stopped. "
            "`sternpost replay` makes the event again."
        )


def _explanation(view: PageView, record: RawRecord, place: str) -> None:
    with ui.element("details").classes("explanation").props("open=true"):
        Text("summary", "Why: field by field, as `sternpost transform --explain` says it")
        inside = ui.element("div").classes("stack")

    def show_value(name: str, text: str) -> None:
        Masked(view, what_of(name), text, record=place, hint=hint(text))

    async def show() -> None:
        inside.clear()
        with inside:
            ui.spinner(size="18px")
        banner = ui.element("div").classes("banner")
        try:
            found = await background.call(partial(explain, record, view.settings.processor.profile))
        except SternpostError as error:
            inside.clear()
            show_error(banner, error)
            return
        if view.client.is_deleted:
            return
        inside.clear()
        with inside, ui.element("div").classes("explained"):
            # The place is part of each table's name, since a page may explain several records.
            show_explanation(place, found, found, record.value or b"", show_value)

    size = len(record.value or b"")
    if size <= EXPLAINED_BYTES:
        ui.timer(0.0, show, once=True)  # not inside what it clears
    else:
        with inside:
            ui.label(f"The payload has {size:,} bytes: to explain it takes a while.").classes("quiet")
            ui.button("Explain it", on_click=show).props("outline dense no-caps")


def _place(text: str) -> Place | None:
    partition, _, offset = text.partition(":")
    if partition.isascii() and partition.isdigit() and offset.isascii() and offset.isdigit() and len(text) < 30:
        return int(partition), int(offset)
    return None


PAGE = Page("/event", "Event", "search", "find EVENT_ID", build)
ONE = Page("/event/{source}/{event_id:path}", "Event", "search", "find EVENT_ID", build, in_navigation=False)
