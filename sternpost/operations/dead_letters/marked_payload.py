"""Write a payload as text for people, with the field at fault marked."""

import json
from collections.abc import Iterator
from typing import Any, NamedTuple, NoReturn

from sternpost.operations.printable import printable


class Line(NamedTuple):
    """One line of the text."""

    text: str
    at_fault: bool


class _Token(str):
    """A number as it was sent."""

    __slots__ = ()


class _Members(list[tuple[str, Any]]):
    """The members of an object in order, repeated names included."""


def lines(body: bytes, field: str | None) -> list[Line]:
    """Return the body as indented JSON, with the lines of `field` marked, or of the closest object or list around it.

    `field` is a path such as `data.recipients[0].device_id`; None marks no line. Numbers are written as they were sent.
    A body that is not JSON is returned as it is, with the line marked at which it stops being JSON. Bytes that are not
    UTF-8 are escaped, and so are characters that a terminal would obey.
    """
    text = body.decode("utf-8-sig", "backslashreplace")
    try:
        tree = json.loads(
            text, parse_int=_Token, parse_float=_Token, parse_constant=_refuse, object_pairs_hook=_Members
        )
        written = [(path, line) for path, line in _write(tree, "", "", "")]
    except json.JSONDecodeError as error:
        fault, sent = error.lineno - 1, text.split("\n")
        shown = [Line(printable(line), number == fault) for number, line in enumerate(sent)]
        shown.insert(fault + 1, Line(" " * len(printable(sent[fault][: error.colno - 1])) + "▲", True))
        return shown
    except (ValueError, RecursionError):
        return [Line(printable(line), False) for line in text.split("\n")]
    at_fault = _nearest({path for path, _ in written}, field)
    return [Line(printable(line), at_fault is not None and _within(path, at_fault)) for path, line in written]


def _write(value: Any, path: str, indent: str, before: str) -> Iterator[tuple[str, str]]:
    """Yield each line of the value with its path; `before` is the member's name."""
    inner = indent + "  "
    if isinstance(value, _Members | list) and value:
        is_object = isinstance(value, _Members)
        yield path, f"{indent}{before}{'{' if is_object else '['}"
        for index, item in enumerate(value):
            comma = "," if index + 1 < len(value) else ""
            if is_object:
                name, member = item
                item_lines = list(_write(member, f"{path}.{name}" if path else name, inner, f"{_text(name)}: "))
            else:
                item_lines = list(_write(item, f"{path}[{index}]", inner, ""))
            yield from item_lines[:-1]
            last_path, last = item_lines[-1]
            yield last_path, last + comma
        yield path, f"{indent}{'}' if is_object else ']'}"
    elif isinstance(value, _Members):
        yield path, f"{indent}{before}{{}}"
    else:
        yield path, f"{indent}{before}{value if isinstance(value, _Token) else _text(value)}"


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _nearest(paths: set[str], field: str | None) -> str | None:
    while field:
        if field in paths:
            return field
        field = field[: max(field.rfind("."), field.rfind("["), 0)]
    return None


def _within(path: str, field: str) -> bool:
    return path == field or path.startswith((f"{field}.", f"{field}["))


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
