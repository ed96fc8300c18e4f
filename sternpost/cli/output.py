"""Output for people and scripts. Text from outside is shown, never obeyed; in a pipe no line is wrapped."""

import logging

import click
import orjson
import structlog
from rich.console import Console
from rich.table import Table
from rich.text import Text

from sternpost.operations.printable import printable

WIDE = 1_000
"""Columns when standard output is not a terminal, so that nothing is wrapped."""


def text(foreign: str, style: str = "") -> Text:
    """Return `foreign`, made printable, as a rich text; markup in it is not interpreted."""
    return Text(printable(foreign), style)


def console(*, soft_wrap: bool = False) -> Console:
    """Return a console on standard output, as wide as the terminal."""
    found = Console(highlight=False, markup=False, soft_wrap=soft_wrap)
    return found if found.is_terminal else Console(highlight=False, markup=False, width=WIDE, soft_wrap=soft_wrap)


def table(*headers: str, folded: tuple[str, ...] = ()) -> Table:
    """Return a table without lines. On a narrow terminal only the columns in `folded` give up width."""
    made = Table(box=None, pad_edge=False, header_style="bold")
    for header in headers:
        made.add_column(header, overflow="fold", no_wrap=header not in folded, min_width=14 * (header in folded))
    return made


def pluralize(number: int, one: str) -> str:
    """Return a number and its noun: `1 broker`, `2 brokers`."""
    return f"{number} {one}{'' if number == 1 else 's'}"


def echo_json(value: object) -> None:
    """Print one line of JSON that holds nothing a terminal would obey."""
    click.echo(printable(orjson.dumps(value, default=str).decode()))


def silence_logs() -> None:
    """Drop log lines, for a command that reports the same events in its own words."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
