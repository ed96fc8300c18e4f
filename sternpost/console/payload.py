"""A payload on a page: indented, with what is at fault marked, and each value covered on its own."""

import re
from functools import cache, partial

from nicegui import ui

from runtime.errors import SternpostError
from schemas.mapping import tables
from sternpost.console import background
from sternpost.console.masking import Masked, hint
from sternpost.console.page import PageView
from sternpost.console.text import Text
from sternpost.operations import marked_payload
from sternpost.operations.marked_payload import Line, Window

LINES = 150
"""Lines that are shown at first, and further ones each time: a payload of 1 MiB can have half a million."""

LINES_BEFORE = 10
"""Lines before the fault."""

MOST_LINES = 20_000
"""Lines that a page keeps."""

AT_ONCE_BYTES = 65_536
"""Larger payloads take up to seconds: they come when they are ready, and meanwhile other tabs are served."""

CHARACTERS = 20_000
"""Of one line: the rest of a longer one is not shown."""

_OPEN = frozenset(
    {
        *("event_id", "metric", "object_type", "timestamp"),
        *("type", "event", "messageId", "channel", "originalTimestamp", "sentAt", "receivedAt", "integrations"),
        *("context.sourceId", "context.sourceType", "context.library.name", "context.library.version"),
        *("context.integration.name", "context.origin.topic", "context.origin.partition", "context.origin.offset"),
        *("properties.objectType", "properties.metric", "properties.eventId"),
    }
)
"""What an event is, rather than whom it is about: shown at once."""


def payload(view: PageView, body: bytes, *, field: str | None = None, record: str = "") -> None:
    """Show a body with `field` (a path, or None) marked. `record` is its place, for the log: `customerio.raw 3:42`."""
    write = partial(marked_payload.window, body, field, most=MOST_LINES, before=LINES_BEFORE)
    with ui.element("div") as place:
        if len(body) <= AT_ONCE_BYTES:
            _show(view, write(), record)
            return
        ui.spinner(size="18px")

    async def show() -> None:
        found: Window | SternpostError
        try:
            found = await background.call(write)
        except SternpostError as error:
            found = error
        if view.client.is_deleted or place.is_deleted:
            return
        place.clear()
        with place:
            if isinstance(found, SternpostError):
                ui.label(found.problem).classes("warn")
            else:
                _show(view, found, record)

    with place:
        ui.timer(0.0, show, once=True)


def _show(view: PageView, window: Window, record: str) -> None:
    with ui.element("div").classes("payload").props('role=group tabindex=0 aria-label="Payload"'):
        shown = ui.element("div").classes("payload-lines")
    rest = ui.element("div").classes("bar")

    def more(begin: int) -> None:
        with shown:
            for line in window.lines[begin : begin + LINES]:
                _line(view, line, record)
        rest.clear()
        end = begin + LINES
        left = len(window.lines) - end
        with rest:
            if left > 0:
                beyond = " and those beyond" if window.cut else ""
                ui.button(f"{left:,} more lines{beyond}", on_click=lambda: more(end)).props("flat dense no-caps")
            elif window.cut:
                Text("span", f"lines after the first {MOST_LINES:,} are not shown", "quiet")

    if window.before:
        with shown:
            Text("div", f"… {window.before:,} lines before the fault", "quiet")
    more(0)


def _line(view: PageView, line: Line, record: str) -> None:
    with ui.element("div").classes("payload-line payload-fault" if line.at_fault else "payload-line"):
        if line.path is None:  # text that is not JSON: all of it is covered
            if line.text.strip():
                _covered(view, "payload", line.text, record)
            else:
                Text("span", " ")
            return
        value = line.text[line.start : line.end]
        Text("span", line.text[: line.start])
        if value in ("{", "}", "[", "]", "{}", "[]", "null", "true", "false") or line.path in _OPEN:
            Text("span", value[:CHARACTERS], "payload-value")
        else:
            _covered(view, what_of(line.path), value, record)
        Text("span", line.text[line.end :])


def _covered(view: PageView, what: str, value: str, record: str) -> None:
    cut = value if len(value) <= CHARACTERS else f"{value[:CHARACTERS]}… ({len(value) - CHARACTERS:,} characters more)"
    Masked(view, what, cut, record=record, hint=hint(value))


def what_of(path: str) -> str:
    """Return a path that the mapping knows, else `a value`: other names are the sender's own, and are not logged."""
    generic = re.sub(r"\[[0-9]+\]", "[]", path)
    return generic if generic in _known() else "a value"


@cache
def _known() -> frozenset[str]:
    return frozenset(
        re.sub(r"\[[0-9]+\]", "[]", name) for row in tables.fields() for name in (*row.sources, row.target)
    )
