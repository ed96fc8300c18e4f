"""An explanation as text: what each field became, or where in the payload the problem is and how to fix it."""

import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import click

from processor.pipeline.explanation import Explanation, plain
from schemas.error_codes import PayloadRejectedError
from sternpost.operations import marked_payload
from sternpost.operations.error_help import ERROR_HELP

_LONGEST = 60


def lines(explanation: Explanation, body: bytes) -> Iterator[str]:
    """With terminal colours; `click.echo` takes them out where there is no terminal."""
    if explanation.event is None:
        for problem in explanation.problems:
            yield from _problem(problem, body)
        count = len(explanation.problems)
        yield f"{count} problem{'s' if count > 1 else ''}: this payload becomes a dead letter, " + _strong(
            explanation.problems[0].code.value
        )
        return
    yield _strong(explanation.event["event"])
    became = [
        (use.source, _value(use.value), target, _value(value))
        for use in explanation.became
        for target, value in use.targets.items()
    ]
    yield from _section(
        "becomes",
        [
            (source, f"→ {target}", value if value == came else f"{came} → {value}")
            for source, came, target, value in _sources_once(became)
        ],
    )
    yield from _section("left out", [(left.source, _value(left.value), left.why) for left in explanation.left_out])
    yield from _section(
        "set by Sternpost", [(target, _value(value), "") for target, value in explanation.set_by_us.items()]
    )


def _sources_once(rows: list[tuple[str, str, str, str]]) -> Iterator[tuple[str, str, str, str]]:
    """Name a source that became several fields in its first row only."""
    before = None
    for source, came, target, value in rows:
        yield "" if source == before else source, came, target, value
        before = source


def _section(title: str, rows: list[tuple[str, ...]]) -> Iterator[str]:
    if not rows:
        return
    yield ""
    yield click.style(title, dim=True)
    widths = [max(len(row[column]) for row in rows) for column in range(2)]
    for first, second, third in rows:
        yield _printable(f"  {first:<{widths[0]}}  {second:<{widths[1]}}  {third}".rstrip())


def _problem(problem: PayloadRejectedError, body: bytes) -> Iterator[str]:
    yield f"{click.style(f'error[{problem.code}]', fg='red', bold=True)}{_strong(f': {problem.message}')}"
    yield from _excerpt(body, problem.field)
    yield f"   = help: {ERROR_HELP.get(problem.code, 'this is a fault of Sternpost; please report it')}"
    yield ""


def _excerpt(body: bytes, field: str | None) -> Iterator[str]:
    """Yield the lines of the payload around the field at fault, or around the place where it stops being JSON."""
    pointed = False
    for line in marked_payload.excerpt(body, field):
        gutter = "   | " if line.number is None else f"{line.number} | "
        yield gutter + line.text
        if line.at_fault and not pointed:
            pointed = True
            yield f"{' ' * (len(gutter) - 2)}| {' ' * line.start}{_carets(line.end - line.start)}"


def _carets(count: int) -> str:
    return click.style("^" * count, fg="red", bold=True)


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else "\ufffd" for c in text)


def _value(value: Any) -> str:
    if isinstance(value, Decimal):
        return str(value)
    text = _printable(json.dumps(value, ensure_ascii=False, default=plain))
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def _strong(text: str) -> str:
    return click.style(text, bold=True)
