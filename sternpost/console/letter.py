"""One dead letter: its payload with the fault marked, and what this version would make of it."""

from collections.abc import Callable
from typing import Any

from nicegui import ui

from processor.pipeline.records import DeadLetter
from schemas.track_event import iso
from sternpost.console.masking import Masked
from sternpost.console.page import PageView
from sternpost.console.payload import payload
from sternpost.console.table import Cell, table
from sternpost.operations.dead_letters.opened import OpenedDeadLetter
from sternpost.operations.printable import printable

_OF_PEOPLE = frozenset({"event_id", "traceparent"})
"""Headers whose values lead to a person, and are covered."""


def show_letter(view: PageView, opened: OpenedDeadLetter, close: Callable[[], object]) -> None:
    """Put a dead letter, with the values of its payload covered."""
    letter = opened.letter
    at = f"{letter.partition}:{letter.offset}"
    place = f"{view.settings.topics.dead_letters} {at}"
    with ui.element("div").classes("bar"):
        with ui.element("h2").classes("grow"):
            ui.label(f"Dead letter {at}")
        ui.link("Explain in Mapping", f"/mapping#letter={at}")
        ui.button(icon="close", on_click=close).props('flat round dense aria-label="Close"')
    with ui.element("div").classes("bar"):
        ui.label(printable(letter.code)).classes("tag tag-bad")
        ui.label(printable(letter.message)).classes("problem-message")
    with ui.element("div").classes("now").props("role=note"):
        ui.label("Today's mapping says:").classes("quiet")
        if isinstance(opened.now, DeadLetter):
            ui.label("a dead letter again").classes("tag tag-bad")
            ui.label(f"{opened.now.code}: {opened.now.message}").classes("inline")
        else:
            ui.label("an event").classes("tag tag-good")
            ui.label(printable(str(opened.now["event"]))).classes("outcome")
    with ui.element("h3"):
        ui.label("Payload")
    payload(view, opened.payload, field=letter.field, record=place)
    with ui.element("h3"):
        ui.label("Record and headers")
    table("Record and headers of the dead letter", ("name", "value"), _facts(view, opened, place), whole=("name",))


def _facts(view: PageView, opened: OpenedDeadLetter, place: str) -> list[tuple[Cell, Cell]]:
    letter = opened.letter
    facts: list[tuple[Cell, Cell]] = [
        ("failed", iso(letter.failed_at_ms)),
        ("received", iso(letter.received_at_ms)),
        ("tries", str(letter.attempt + 1)),
        ("sent back", "yes" if letter.redriven else "no"),
        ("raw record", printable(f"{letter.raw_topic} {letter.raw_partition}:{letter.raw_offset}")),
        ("size", f"{letter.size_bytes:,} bytes"),
    ]
    key = opened.record.key
    if key is not None:
        facts.append(("key", _covered(view, "key", key.decode("utf-8", "backslashreplace"), place)))
    for name, value in list(opened.headers.items())[:50]:
        cell: Cell = _covered(view, name, value, place) if name in _OF_PEOPLE else printable(value[:500])
        facts.append((printable(name[:100]), cell))
    return facts


def _covered(view: PageView, what: str, value: str, place: str) -> Callable[[], Any]:
    return lambda: Masked(view, what, printable(value), record=place)
