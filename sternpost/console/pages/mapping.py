"""The mapping: what becomes of a payload with each profile, and the whole of it as a table."""

import re
import time

from nicegui import ui

from processor.pipeline.explanation import Explanation
from processor.pipeline.pipeline import record_of
from processor.pipeline.records import RawRecord
from runtime.errors import CheckFailedError, SternpostError
from sternpost.console import background, fragment
from sternpost.console.explanation import covering, show_explanation
from sternpost.console.long_text import LongText
from sternpost.console.page import Page, PageView
from sternpost.console.refresher import show_error
from sternpost.console.table import table
from sternpost.operations.dead_letters.opened import open_dead_letter
from sternpost.operations.mapping import find_rows
from sternpost.operations.raw_record import read_raw_record
from sternpost.operations.transform import explain_by_profile

LIMIT_S = 60.0
_PLACE = re.compile(r"(\d{1,9}):(\d{1,18})")
EXAMPLE = """\
{
  "event_id": "01E4C4CT6YDC7Y5M7FE1GWWPQJ",
  "object_type": "sms",
  "metric": "clicked",
  "timestamp": 1613063089,
  "data": {
    "customer_id": "0200000001",
    "recipient": "+15551234567",
    "action_id": 42,
    "href": "https://example.com/welcome"
  }
}
"""


class MappingPage:
    """One opening of the page."""

    def __init__(self, view: PageView) -> None:
        self._view = view
        self._asked = 0
        """Counts the payloads, so that the answer for an earlier one does not cover a later one's."""
        with ui.element("div").classes("stack"):
            with ui.element("div").classes("card stack"):
                self._banner = ui.element("div").classes("banner").props("role=alert")
                self._inputs()
                self._result = ui.element("div").classes("grid grid-pair").props("aria-live=polite")
            _whole_mapping()
        ui.timer(0.0, self._restore, once=True)
        ui.on("fragment", self._restore)
        ui.run_javascript("window.addEventListener('hashchange', () => emitEvent('fragment', 0))")

    def _inputs(self) -> None:
        with ui.element("h2"):
            ui.label("What becomes of a payload")
        most = self._view.settings.ingest.max_body_bytes
        self._payload = LongText("A webhook's body, in JSON", most, self._changed, self._too_long)
        with ui.element("div").classes("bar"):
            ui.button("Example", on_click=lambda: self._payload.set(EXAMPLE)).props("outline no-caps")
            ui.button("Share", icon="link", on_click=self._share).props("outline no-caps")
            ui.element("span").classes("grow")
            self._topic = (
                ui.select({"raw": "raw record", "letter": "dead letter"}, value="raw", label="Or take")
                .props("outlined dense options-dense")
                .classes("take-topic")
            )
            self._place = ui.input("partition:offset", placeholder="0:42").props("outlined dense").classes("take-place")
            self._place.on("keydown.enter", self._take)
            ui.button("Take", on_click=self._take).props("outline no-caps")

    async def _restore(self) -> None:
        """Do what the address's fragment says."""
        name, value = await fragment.read_fragment()
        if name == "payload":
            payload = fragment.unpack(value, self._view.settings.ingest.max_body_bytes)
            if payload is None:
                self._tell(CheckFailedError("the payload in this address is damaged, or too long"))
            else:
                await self._payload.set(payload)
        elif name in ("raw", "letter") and _PLACE.fullmatch(value):
            self._topic.value, self._place.value = name, value
            await self._take()

    def _share(self) -> None:
        text = self._payload.text
        packed = fragment.pack(text)
        if not text or packed is None:
            ui.notify("too long to share in an address" if text else "there is no payload to share")
            return
        fragment.write_fragment("payload", packed, copy=True)
        ui.notify("the address holds the payload now, and is copied")

    def _too_long(self) -> None:
        self._tell(CheckFailedError("the payload is longer than ingest.max_body_bytes: ingest answers 413 to it"))

    async def _changed(self, text: str) -> None:
        if not text.strip():
            self._asked += 1
            self._result.clear()
            return
        body = text.encode("utf-8", "surrogatepass")
        self._view.show_command("transform --explain payload.json")
        await self._explain(record_of(body, received_at_ms=time.time_ns() // 1_000_000), covered=False)

    async def _take(self) -> None:
        """Explain a record of a topic, with its values covered."""
        place = _PLACE.fullmatch((self._place.value or "").strip())
        if place is None:
            self._tell(CheckFailedError("give the partition and the offset of a record, like this: 0:42"))
            return
        at, settings = (int(place[1]), int(place[2])), self._view.settings
        letter = self._topic.value == "letter"
        try:
            record = await background.call(
                lambda: open_dead_letter(settings, at).record if letter else read_raw_record(settings, *at)
            )
        except SternpostError as error:
            self._tell(error)
            return
        fragment.write_fragment("letter" if letter else "raw", f"{at[0]}:{at[1]}")
        self._view.show_command(
            f"dead-letters export --all --at {at[0]}:{at[1]} --bodies | sternpost transform --explain"
            if letter
            else "transform --explain payload.json"
        )
        await self._explain(record, covered=True)

    async def _explain(self, record: RawRecord, *, covered: bool) -> None:
        self._asked += 1
        asked = self._asked
        try:
            found = await background.call(lambda: explain_by_profile(record), limit_s=LIMIT_S)
        except SternpostError as error:
            self._tell(error)
            return
        if asked == self._asked and not self._view.client.is_deleted:
            self._banner.clear()
            self._banner.classes(remove="banner-fault")
            self._result.clear()
            with self._result:
                self._show(found, record, covered=covered)

    def _show(self, found: dict[str, Explanation], record: RawRecord, *, covered: bool) -> None:
        place = f"{record.topic} {record.partition}:{record.offset}"

        def plainly(_: str, value: str) -> None:
            ui.label(value).classes("inline mono")

        show = covering(self._view, place) if covered else plainly
        for profile, explanation in found.items():
            [other] = (found[name] for name in found if name != profile)
            with ui.element("section").classes("profile"):
                with ui.element("h3").classes("profile-name"):
                    ui.label(profile)
                show_explanation(profile, explanation, other, record.value or b"", show)

    def _tell(self, error: SternpostError) -> None:
        if not self._view.client.is_deleted:
            show_error(self._banner, error)


def _whole_mapping() -> None:
    """Put the whole mapping, and a field to search it by."""

    def show(words: str) -> None:
        found = find_rows(words.split())
        count.text = f"{len(found.fields)} fields, {len(found.events)} names of events"
        rows.clear()
        with rows:
            if found.fields:
                table(
                    "Fields of an event",
                    ("field of the event", "from", "type", "profile", "meaning"),
                    (
                        (
                            row.target,
                            ", ".join(row.sources),
                            row.type,
                            row.profile,
                            row.meaning + (f" ({row.condition})" if row.condition else ""),
                        )
                        for row in found.fields
                    ),
                    whole=("field of the event", "type", "profile"),
                    tall=True,
                )
            if found.events:
                table(
                    "Names of events",
                    ("object type", "metric", "name of the event"),
                    ((row.object_type, row.metric, row.event) for row in found.events),
                    tall=True,
                )

    with ui.element("div").classes("card stack"):
        with ui.element("div").classes("bar"):
            with ui.element("h2").classes("grow"):
                ui.label("The whole mapping")
            ui.input("Search", on_change=lambda change: show(str(change.value or ""))).props(
                "outlined dense clearable debounce=200 type=search"
            )
        count = ui.label().classes("quiet").props("role=status")
        rows = ui.element("div").classes("stack")
    show("")


def build(view: PageView) -> None:
    """Put the page together."""
    MappingPage(view)


PAGE = Page("/mapping", "Mapping", "swap_horiz", "transform --explain payload.json", build)
