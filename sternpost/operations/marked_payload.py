"""Write a payload as text for people, with what is at fault in it marked."""

import json
from collections import deque
from collections.abc import Iterator
from itertools import islice
from typing import Any, NamedTuple, NoReturn

from sternpost.operations.printable import printable

DEEPEST = 200
"""Levels of JSON that are indented: Python's recursion ends at a thousand."""

_LONGEST = 60
"""The most characters of a value in an excerpt."""
_BEFORE, _AFTER = 50, 30
"""The most characters before and after the place at which a text stops being JSON, in an excerpt."""


class Line(NamedTuple):
    """One line of the text."""

    text: str
    at_fault: bool = False
    start: int = 0
    """The column at which the line's value begins; in text that is not JSON, that at which it stops being JSON."""
    end: int = 0
    """The column after that; `start` if the line has neither."""
    path: str | None = None
    """The path of the value in the payload; None in text that is not JSON."""
    number: int | None = None
    """The number of the line, counted from 1, in text that is not JSON."""


class _Token(str):
    """A number as it was sent."""

    __slots__ = ()


class _Members(list[tuple[str, Any]]):
    """The members of an object in order, repeated names included."""


def lines(body: bytes, field: str | None) -> list[Line]:
    """Return the body as indented JSON, with the lines of `field` marked, or of the closest object or list around it.

    `field` is a path such as `data.recipients[0].device_id`; None marks no line. Numbers are written as they were sent.
    A body that is not JSON, or nested deeper than `DEEPEST`, is returned as it is, with the line marked at which it
    stops being JSON. Bytes that are not UTF-8 are escaped, and so are characters that a terminal would obey.
    """
    return list(_write(body, field, whole=True).lines)


class Window(NamedTuple):
    """A part of a payload's lines: a few before the first that is marked, and many after it."""

    lines: list[Line]
    before: int
    """Lines of the payload before these."""
    cut: bool
    """Whether there are lines after these."""


def window(body: bytes, field: str | None, *, most: int, before: int) -> Window:
    """Return at most `most` of `lines`, from `before` lines before the first that is marked, or from the first line.

    `before` is less than `most`. Lines after these are not written: a payload of 1 MiB can have half a million.
    """
    written, has_mark = _write(body, field, whole=True)
    kept, left_out = deque[Line](), 0
    for line in written if has_mark else ():
        kept.append(line)
        if line.at_fault:
            break
        if len(kept) > before:
            kept.popleft()
            left_out += 1
    found = [*kept, *islice(written, most - len(kept))]
    return Window(found, left_out, cut=next(written, None) is not None)


def excerpt(body: bytes, field: str | None, around: int = 2) -> list[Line]:
    """Return the first line that `lines` marks and `around` lines before and after it; nothing if it marks none.

    Objects and lists that do not lead to the field are on one line, and long values are cut short. Of text that is not
    JSON only the marked line is returned.
    """
    found = list(_write(body, field, whole=False).lines)
    at = next((number for number, line in enumerate(found) if line.at_fault), None)
    if at is None:
        return []
    if found[at].number is not None:
        return [_clip(found[at])]
    return found[max(0, at - around) : at + around + 1]


class _Written(NamedTuple):
    """A payload's lines, written as they are asked for."""

    lines: Iterator[Line]
    has_mark: bool
    """Whether one of them is marked."""


def _write(body: bytes, field: str | None, *, whole: bool) -> _Written:
    text = body.decode("utf-8-sig", "backslashreplace")
    try:
        tree = json.loads(
            text, parse_int=_Token, parse_float=_Token, parse_constant=_refuse, object_pairs_hook=_Members
        )
    except json.JSONDecodeError as error:
        return _Written(_text_lines(text, error.lineno, error.colno - 1), True)
    except (ValueError, RecursionError):
        return _Written(_text_lines(text), False)
    if _is_deep(tree):
        return _Written(_text_lines(text), False)
    fault = _nearest(set(_paths(tree, "")), field) if field else None
    return _Written(_Writer(fault, whole=whole).write(tree, "", "", ""), fault is not None)


def _is_deep(tree: Any) -> bool:
    """Return whether it is nested deeper than what is written by recursion."""
    level = [[tree]]
    for _ in range(DEEPEST):
        level = [member for value in level for member in _members(value) if isinstance(member, list)]
        if not level:
            return False
    return True


def _members(value: list[Any]) -> list[Any]:
    return [member for _, member in value] if isinstance(value, _Members) else value


class _Writer:
    """Writes JSON on lines."""

    def __init__(self, fault: str | None, *, whole: bool) -> None:
        """`fault` is the path at fault. Unless `whole`, what does not lead to it is cut short."""
        self._fault, self._whole = fault, whole

    def write(self, value: Any, path: str, indent: str, name: str, comma: str = "") -> Iterator[Line]:
        """Yield the lines of a value; `name` is written before it, and `comma` after it."""
        number_of = len(value) if isinstance(value, list) else 0
        if not number_of or not (self._whole or (self._fault is not None and _is_within(self._fault, path))):
            shown = _text(value) if self._whole else _cut(_text(value))
            yield self._line(path, indent + name, shown, comma)
            return
        opening, closing = "{}" if isinstance(value, _Members) else "[]"
        yield self._line(path, indent + name, opening, "")
        for number, (inner, inner_path, member) in enumerate(_items(value, path), 1):
            after = "," if number < number_of else ""
            yield from self.write(member, inner_path, indent + "  ", inner, after)
        yield self._line(path, indent, closing, comma)

    def _line(self, path: str, before: str, shown: str, after: str) -> Line:
        before, shown = printable(before), printable(shown)
        at_fault = self._fault is not None and _is_within(path, self._fault)
        return Line(before + shown + after, at_fault, len(before), len(before) + len(shown), path)


def _items(value: Any, path: str) -> Iterator[tuple[str, str, Any]]:
    """Yield what an object or a list holds: the member's name as it is written, its path, and its value."""
    if isinstance(value, _Members):
        for name, member in value:
            yield f"{_quoted(name)}: ", f"{path}.{name}" if path else name, member
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield "", f"{path}[{index}]", item


def _paths(value: Any, path: str) -> Iterator[str]:
    yield path
    for _, inner, member in _items(value, path):
        yield from _paths(member, inner)


def _text(value: Any) -> str:
    """Return a value on one line."""
    if isinstance(value, _Members):
        return f"{{{', '.join(f'{_quoted(name)}: {_text(member)}' for name, member in value)}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(_text, value))}]"
    return value if isinstance(value, _Token) else _quoted(value)


def _quoted(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def _text_lines(text: str, fault: int | None = None, column: int = 0) -> Iterator[Line]:
    """Yield the lines of a text, with its line `fault` marked at the column; both as Python counts them in the text."""
    for number, line in enumerate(text.split("\n"), 1):
        if number == fault:
            start = len(printable(line[:column]))
            end = start + len(printable(line[column : column + 1]))
            yield Line(printable(line), True, start, max(end, start + 1), None, number)
        else:
            yield Line(printable(line), number=number)


def _clip(line: Line) -> Line:
    """Return the part of a line around its mark."""
    first = max(0, line.start - _BEFORE)
    return line._replace(text=line.text[first : line.end + _AFTER], start=line.start - first, end=line.end - first)


def _nearest(paths: set[str], field: str | None) -> str | None:
    while field:
        if field in paths:
            return field
        field = field[: max(field.rfind("."), field.rfind("["), 0)]
    return None


def _is_within(path: str, field: str) -> bool:
    return not field or path == field or path.startswith((f"{field}.", f"{field}["))


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
