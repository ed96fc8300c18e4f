"""The options with which `sternpost dead-letters` selects dead letters."""

import functools
from collections.abc import Callable
from typing import Any

import click

from schemas.error_codes import ErrorCode
from sternpost.operations.dead_letters.selection import Selection
from sternpost.operations.requested_range import parse_time


class TimeOrAge(click.ParamType[int]):
    """A time or an age, as Unix milliseconds."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Parse the value; a wrong one is a usage error."""
        try:
            return value if isinstance(value, int) else parse_time(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


class PartitionOffset(click.ParamType[tuple[int, int]]):
    """Partition and offset, written `3:42`."""

    name = "partition:offset"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        """Parse the value; a wrong one is a usage error."""
        if isinstance(value, tuple):
            return value
        partition, _, offset = str(value).partition(":")
        if not (partition.isdecimal() and offset.isdecimal()):
            self.fail(f"{value!r} is not a partition:offset (3:42); see `sternpost dead-letters list`", param, ctx)
        return int(partition), int(offset)


def filter_options(function: Callable[..., None]) -> Callable[..., None]:
    """Add the options that filter dead letters; the command gets them as one `selection`."""

    @functools.wraps(function)
    def with_selection(
        *args: Any,
        code: tuple[str, ...],
        source: tuple[str, ...],
        field: tuple[str, ...],
        event_id: tuple[str, ...],
        at: tuple[tuple[int, int], ...],
        since: int | None,
        until: int | None,
        **others: Any,
    ) -> None:
        if unknown := set(code) - set(ErrorCode):
            raise click.UsageError(f"there is no code {min(unknown)}; the codes are {', '.join(ErrorCode)}")
        selection = Selection(
            codes=frozenset(code),
            sources=frozenset(source),
            fields=frozenset(field),
            event_ids=frozenset(event_id),
            at=frozenset(at),
            since_ms=since,
            until_ms=until,
        )
        function(*args, selection=selection, **others)

    for option in reversed(
        [
            click.option(
                "--code", multiple=True, help="Only this error code. Repeatable, like the four options below."
            ),
            click.option("--source", multiple=True, help="Only this source."),
            click.option(
                "--field", multiple=True, help="Only if this field is at fault, e.g. data.action_id; '' if none is."
            ),
            click.option("--event-id", multiple=True, help="Only this event id."),
            click.option(
                "--at",
                multiple=True,
                type=PartitionOffset(),
                help="Only the dead letter at this partition and offset, e.g. 3:42.",
            ),
            click.option(
                "--since",
                type=TimeOrAge(),
                help="Failed at this time or later, e.g. 2026-11-24T03:00:00Z, or 2h for 2 hours ago.",
            ),
            click.option("--until", type=TimeOrAge(), help="Failed before this time."),
        ]
    ):
        with_selection = option(with_selection)
    return with_selection
