"""Output for people: what others wrote is shown and never obeyed, and a pipe gets whole lines."""

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

WIDE = 1_000
"""Columns where there is no terminal, so that nothing is wrapped."""


def printable(text: str) -> str:
    """What a terminal would obey rather than show (escape sequences, line breaks, changes of direction), and what it
    could not show at all (half a surrogate pair), is escaped as JSON does it; so JSON text stays the same JSON."""
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() else json.dumps(letter)[1:-1] for letter in text)


def text(foreign: str, style: str = "") -> "Text":
    """The same for rich, which finds no markup in it."""
    from rich.text import Text

    return Text(printable(foreign), style)


def console(**options: Any) -> "Console":
    """Standard output, as wide as the terminal."""
    from rich.console import Console

    found = Console(highlight=False, markup=False, **options)
    return found if found.is_terminal else Console(highlight=False, markup=False, width=WIDE, **options)


def table(*headers: str, folded: tuple[str, ...] = ()) -> "Table":
    """Without lines. What does not fit is folded, in those columns alone as far as they have room to give."""
    from rich.table import Table

    made = Table(box=None, pad_edge=False, header_style="bold")
    for header in headers:
        made.add_column(header, overflow="fold", no_wrap=header not in folded, min_width=14 * (header in folded))
    return made


def pluralize(number: int, one: str) -> str:
    """`1 broker`, `2 brokers`"""
    return f"{number} {one}{'' if number == 1 else 's'}"
