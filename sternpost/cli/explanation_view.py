"""An explanation as text: what each field became, or where in the payload the problem is and how to fix it."""

import json
import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import click

from processor.pipeline.explanation import Explanation, Path, place_of, plain
from schemas.error_codes import ErrorCode, PayloadRejectedError
from sternpost.operations.error_help import ERROR_HELP

_LONGEST = 60
_AROUND = 2
"""Lines of the payload shown before and after the one at fault."""


def lines(explanation: Explanation, body: bytes) -> Iterator[str]:
    """With terminal colours; `click.echo` takes them out where there is no terminal."""
    if explanation.event is None:
        for problem in explanation.problems:
            yield from _problem(problem, explanation.payload, body)
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


def _problem(problem: PayloadRejectedError, payload: Any, body: bytes) -> Iterator[str]:
    yield f"{click.style(f'error[{problem.code}]', fg='red', bold=True)}{_strong(f': {problem.message}')}"
    if problem.code is ErrorCode.MALFORMED_JSON:
        yield from _text_excerpt(body)
    elif isinstance(payload, dict) and problem.field is not None:
        yield from _tree_excerpt(payload, place_of(problem.field))
    yield f"   = help: {ERROR_HELP.get(problem.code, 'this is a fault of Sternpost; please report it')}"
    yield ""


def _text_excerpt(body: bytes) -> Iterator[str]:
    """Show the place at which the text stops being JSON."""
    try:
        text = body.decode("utf-8-sig")
        json.loads(text)
    except UnicodeDecodeError as error:
        yield from _pointed(body[max(0, error.start - 30) : error.start].decode(errors="replace"), "\ufffd", "")
    except json.JSONDecodeError as error:
        start = text.rfind("\n", 0, error.pos) + 1
        end = text.find("\n", error.pos)
        line = text[start : end if end >= 0 else len(text)]
        at = error.pos - start
        yield from _pointed(line[max(0, at - 50) : at], line[at : at + 1], line[at + 1 : at + 30], error.lineno)
    except (RecursionError, ValueError):
        return


def _tree_excerpt(payload: dict[str, Any], place: Path) -> Iterator[str]:
    """Show the lines of the payload, reformatted, around the field at fault."""
    written = list(_written(payload, place))
    at = next((i for i, (_, pointed) in enumerate(written) if pointed), None)
    if at is None:
        return
    for i in range(max(0, at - _AROUND), min(len(written), at + _AROUND + 1)):
        line = written[i][0]
        yield f"   | {line}"
        if i == at:
            value = re.sub(r'^\s*(?:"(?:[^"\\]|\\.)*": )?', "", line).rstrip(",")
            yield f"   | {' ' * line.rindex(value)}{_carets(len(value))}"


def _written(tree: Any, wanted: Path | None, name: str = "", depth: int = 0) -> Iterator[tuple[str, bool]]:
    """Lines of indented JSON, and whether the wanted value is on them. What lies beside the way to it is cut short."""
    pad = "  " * depth + (f"{_value(name)}: " if name else "")
    if not wanted or not isinstance(tree, dict | list) or not tree:
        yield pad + _value(tree), wanted == ()
        return
    brackets = "{}" if isinstance(tree, dict) else "[]"
    yield pad + brackets[0], False
    for number, (key, value) in enumerate(tree.items() if isinstance(tree, dict) else enumerate(tree), 1):
        inner = wanted[1:] if key == wanted[0] else None
        *most, (last, pointed) = _written(value, inner, key if isinstance(key, str) else "", depth + 1)
        yield from most
        yield last + ("," if number < len(tree) else ""), pointed
    yield "  " * depth + brackets[1], False


def _pointed(before: str, at: str, after: str, line: int | None = None) -> Iterator[str]:
    gutter = f"{line} | " if line is not None else "   | "
    yield f"{gutter}{_printable(before)}{_printable(at)}{_printable(after)}"
    yield f"{' ' * (len(gutter) - 2)}| {' ' * len(_printable(before))}{_carets(1)}"


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
