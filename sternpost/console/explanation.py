"""An explanation on a page: the lines of `sternpost transform --explain`, and where two profiles differ."""

import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from nicegui import ui

from processor.pipeline.explanation import Explanation, plain
from schemas.error_codes import PayloadRejectedError
from sternpost.console.masking import Masked, hint
from sternpost.console.page import PageView
from sternpost.console.payload import what_of
from sternpost.console.table import Cell, table
from sternpost.operations import marked_payload
from sternpost.operations.error_help import ERROR_HELP
from sternpost.operations.printable import printable

MOST_CHARACTERS = 20_000
"""Of one value."""
MOST_ROWS = 200
"""Rows of one part; a payload of 1 MiB may have thousands of values."""
OPEN = frozenset({"object_type", "metric"})
"""Fields that say what an event is, and not whom it is about: never covered."""
_LONGEST = 200

Show = Callable[[str, str], None]
"""Puts a value, covered or not: what it is, and its text."""


def show_explanation(profile: str, explanation: Explanation, other: Explanation, body: bytes, show: Show) -> None:
    """Put what a payload becomes with a profile, and why.

    `other` is the explanation with the other profile; `show` puts a value.
    """
    if explanation.event is None:
        _problems(profile, explanation.problems, body, show)
        return
    with ui.element("div").classes("bar"):
        ui.label("event").classes("tag tag-good")
        ui.label(printable(str(explanation.event["event"]))).classes("outcome")
    elsewhere = {target: value for use in other.became for target, value in use.targets.items()} | other.set_by_us
    became: list[tuple[Cell, Cell, Cell]] = []
    before = None
    for use in explanation.became:
        for target, value in use.targets.items():
            source = "" if use.source == before else _short(use.source)
            before = use.source
            shown = value_text(value) if use.source in OPEN else _value(target, value, show)
            became.append((source, _target(target, value, elsewhere), shown))
    _part(profile, "becomes", ("from", "field of the event", "value"), became)
    _part(
        profile,
        "left out",
        ("field", "why", "value"),
        [(_short(left.source), left.why, _value(left.source, left.value, show)) for left in explanation.left_out],
    )
    _part(
        profile,
        "set by Sternpost",
        ("field of the event", "value"),
        [(_target(target, value, elsewhere), value_text(value)) for target, value in explanation.set_by_us.items()],
    )


def value_text(value: Any) -> str:
    """Return a value as it is written in JSON, made printable and not too long for a table."""
    if isinstance(value, Decimal):
        return str(value)
    return _short(json.dumps(value, ensure_ascii=False, default=plain))


def covering(view: PageView, record: str) -> Show:
    """Return a function that puts values covered; `record` is the place of the record that they are of."""

    def show(name: str, value: str) -> None:
        shown = value[:MOST_CHARACTERS]
        if len(value) > MOST_CHARACTERS:
            shown += f"… ({len(value) - MOST_CHARACTERS:,} more characters)"
        Masked(view, what_of(name), shown, record=record, hint=hint(value))

    return show


def _part(profile: str, title: str, headers: tuple[str, ...], rows: list[Any]) -> None:
    if not rows:
        return
    with ui.element("h3"):
        ui.label(title)
    table(f"{profile}: {title}", headers, rows[:MOST_ROWS], whole=("from", "field", "field of the event"))
    if len(rows) > MOST_ROWS:
        ui.label(f"{len(rows) - MOST_ROWS} more; the command prints all of them").classes("quiet")


def _target(target: str, value: Any, elsewhere: dict[str, Any]) -> Cell:
    """Return the cell of a field of the event, marked if the other profile has it otherwise or not at all."""
    if elsewhere.get(target, ...) == value:
        return _short(target)

    def put() -> None:
        ui.label(_short(target)).classes("inline")
        ui.label("differs" if target in elsewhere else "only here").classes("tag tag-warn aside")

    return put


def _value(name: str, value: Any, show: Show) -> Cell:
    return lambda: show(name, value_text(value))


def _problems(profile: str, problems: list[PayloadRejectedError], body: bytes, show: Show) -> None:
    with ui.element("div").classes("bar"):
        ui.label("dead letter").classes("tag tag-bad")
        ui.label(problems[0].code.value).classes("outcome")
    for number, problem in enumerate(problems, 1):
        with ui.element("div").classes("problem"):
            ui.label(problem.message).classes("problem-message")
            _put_lines(marked_payload.excerpt(body, problem.field), f"{profile}: where problem {number} is", show)
            help_text = ERROR_HELP.get(problem.code, "this is a fault of Sternpost; please report it")
            ui.label(f"help: {help_text}").classes("quiet")


def _put_lines(lines: list[marked_payload.Line], label: str, show: Show) -> None:
    if lines:
        with ui.element("div").classes("code").props(f'tabindex=0 role=region aria-label="{label}"'):
            for line in lines:
                _line(line, show)


def _line(line: marked_payload.Line, show: Show) -> None:
    with ui.element("div").classes("code-line code-fault" if line.at_fault else "code-line"):
        ui.label("▶" if line.at_fault else " ").classes("code-mark").props("aria-hidden=true")
        if line.path is None:
            if line.text.strip():
                show("text that is not JSON", line.text)
            return
        ui.label(line.text[: line.start]).classes("inline")
        value = line.text[line.start : line.end]
        if value in ("{", "}", "[", "]", "{}", "[]") or line.path in OPEN:
            ui.label(value[:MOST_CHARACTERS]).classes("inline")
        else:
            show(line.path, value)
        ui.label(line.text[line.end :]).classes("inline")


def _short(text: str) -> str:
    text = printable(text)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
