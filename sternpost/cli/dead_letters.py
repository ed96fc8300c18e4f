"""`sternpost dead-letters`: look at payloads that could not become events, and send them back."""

import functools
from collections.abc import Callable
from dataclasses import replace
from typing import IO, Any

import click
import orjson

from runtime.graceful_interrupt import graceful_interrupt
from runtime.settings.model import Settings
from schemas.customerio.timestamps import iso
from schemas.error_codes import ErrorCode
from sternpost.cli import parameters
from sternpost.cli.output import console, echo_json, pluralize, silence_logs, table, text
from sternpost.cli.progress import Progress
from sternpost.operations.dead_letters import marked_payload
from sternpost.operations.dead_letters.record import as_json_with_payload, decoded_headers
from sternpost.operations.dead_letters.redrive import RedrivePlan, plan
from sternpost.operations.dead_letters.redrive import redrive as send_back
from sternpost.operations.dead_letters.selection import Selection, list_dead_letters, read_one, read_selected
from sternpost.operations.printable import printable
from sternpost.operations.range_bound import parse_time


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


def _filters(function: Callable[..., None]) -> Callable[..., None]:
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
            click.option("--code", multiple=True, help="Only this error code (repeatable, as are the next 4)."),
            click.option("--source", multiple=True, help="Only this source."),
            click.option("--field", multiple=True, help="Only if this field is at fault: data.action_id."),
            click.option("--event-id", multiple=True, help="Only this event id."),
            click.option(
                "--at",
                multiple=True,
                type=PartitionOffset(),
                help="Only the one at this partition:offset: 3:42.",
            ),
            click.option(
                "--since",
                type=TimeOrAge(),
                help="Failed at this time or later: 2026-11-24T03:00:00Z, 2h (ago).",
            ),
            click.option("--until", type=TimeOrAge(), help="Failed before this time."),
        ]
    ):
        with_selection = option(with_selection)
    return with_selection


@click.group()
def command() -> None:
    """List, show and export payloads that could not become events, and send them back for another try."""


@command.command("list")
@_filters
@click.option("--all", "with_redriven", is_flag=True, help="Include those that were sent back.")
@click.option("--limit", type=click.IntRange(0), default=20, show_default=True, help="How many to list; 0 for all.")
@parameters.json_option
@parameters.pass_settings
def list_(settings: Settings, selection: Selection, with_redriven: bool, limit: int, as_json: bool) -> None:
    """Count the dead letters by code, source and field, and list the newest, without their payloads."""
    with Progress("read", transient=True) as progress:
        listing = list_dead_letters(settings, replace(selection, redriven=with_redriven), limit, progress.at)
    if as_json:
        echo_json(listing.as_json())
        return
    if not listing.total:
        filtered = " that pass the filters" if selection != Selection() else ""
        click.echo(f"no dead letters in {settings.topics.dead_letters}{filtered}")
        return
    counts = table("code", "source", "field", "letters", "first", "last", folded=("field",))
    counts.columns[3].justify = "right"
    for group in listing.groups:
        key, times = group.key, (_to_second(group.first_ms), _to_second(group.last_ms))
        counts.add_row(text(key.code), text(key.source), text(key.field or ""), str(group.letters), *times)
    out = console()
    out.print(counts)
    out.print(f"\n{len(listing.newest)} of {listing.total}, the newest last", style="bold")
    rows = table("at", "failed", "code", "event id", "tries", "message", folded=("event id", "message"))
    for letter in listing.newest:
        rows.add_row(
            f"{letter.partition}:{letter.offset}",
            _to_second(letter.failed_at_ms),
            text(f"{letter.code}{' (sent back)' if letter.redriven else ''}"),
            text(letter.event_id or ""),
            str(letter.attempt + 1),
            text(letter.message),
        )
    out.print(rows)


def _to_second(ms: int) -> str:
    return f"{iso(ms)[:19]}Z"


@command.command()
@click.argument("at", type=PartitionOffset())
@parameters.json_option
@parameters.pass_settings
def show(settings: Settings, at: tuple[int, int], as_json: bool) -> None:
    """Show one dead letter with its headers and payload, the field at fault marked.

    AT is its partition:offset, as `sternpost dead-letters list` prints it. The payload is a person's data.
    """
    letter, message = read_one(settings, at)
    if as_json:
        echo_json(as_json_with_payload(letter, message))
        return
    out = console(soft_wrap=True)
    for name, value in {k: v for k, v in letter.as_json().items() if v is not None and k != "raw"}.items():
        out.print(text(f"{name:12} ", "bold").append(text(str(value), "red" if name in ("code", "message") else "")))
    raw = f"{letter.raw_topic} {letter.raw_partition}:{letter.raw_offset}"
    out.print(text(f"{'raw record':12} ", "bold").append(text(raw)))
    out.print("\nheaders", style="bold")
    for name, value in decoded_headers(message).items():
        out.print(text(f"  {name}: {value}"))
    out.print("\npayload", style="bold")
    for line in marked_payload.lines(message.value() or b"", letter.field):
        out.print(text(f"{'▶' if line.at_fault else ' '} {line.text}", "bold red" if line.at_fault else ""))


@command.command()
@_filters
@click.option("--all", "with_redriven", is_flag=True, help="Include those that were sent back.")
@click.option("--output", type=click.File("wb", lazy=True), default="-", help="File to write  [default: standard out]")
@click.option("--bodies", is_flag=True, help="Only the payloads, as they were sent, for `sternpost transform`.")
@parameters.pass_settings
def export(settings: Settings, selection: Selection, with_redriven: bool, output: IO[bytes], bodies: bool) -> None:
    """Write dead letters to a file, one JSON object a line, as `show --json` prints them.

    The payloads are people's data.
    """
    if bodies and output.isatty():
        raise click.UsageError("a terminal would obey what is in the payloads; give --output FILE, or a pipe")
    number = 0
    with Progress("read", transient=True) as progress:
        for letter, message in read_selected(settings, replace(selection, redriven=with_redriven), progress.at):
            if bodies:
                # In JSON text a line break is only white space between tokens; other text stays malformed without it.
                line = (message.value() or b"").replace(b"\r", b" ").replace(b"\n", b" ")
            else:
                line = printable(orjson.dumps(as_json_with_payload(letter, message)).decode()).encode()
            output.write(line + b"\n")
            number += 1
    output.flush()
    click.echo(f"{pluralize(number, 'dead letter')} exported", err=True)


@command.command()
@_filters
@click.option(
    "--max-attempts", type=click.IntRange(1), default=5, show_default=True, help="Skip those that were tried so often."
)
@click.option("--dry-run", is_flag=True, help="Send nothing; report what this version would make of them.")
@click.option("--even-if-failing", is_flag=True, help="Send also those of which this version makes dead letters again.")
@parameters.json_option
@parameters.pass_settings
def redrive(
    settings: Settings, selection: Selection, max_attempts: int, dry_run: bool, even_if_failing: bool, as_json: bool
) -> None:
    """Send dead letters back to the raw topic: same key, bytes and headers, with `attempt` incremented.

    Each is mapped first, and left where it is if it would fail again. Each is sent back once, however often the command
    runs or is interrupted: sending it and recording that it was sent are one transaction. The records go to the end of
    the topic, and so are no longer in the order in which they first came.
    """
    silence_logs()  # the command reports internal errors by their code
    if dry_run:
        _dry_run(settings, selection, max_attempts, even_if_failing=even_if_failing, as_json=as_json)
    else:
        _redrive(settings, selection, max_attempts, even_if_failing=even_if_failing, as_json=as_json)


def _redrive(
    settings: Settings, selection: Selection, max_attempts: int, *, even_if_failing: bool, as_json: bool
) -> None:
    with graceful_interrupt() as interrupted, Progress("read") as progress:

        def on_plan(planned: RedrivePlan) -> None:
            _report_left_out(planned, max_attempts, err=True)
            progress.start(len(planned.letters), "sent back")

        result = send_back(
            settings,
            selection,
            max_attempts=max_attempts,
            even_if_failing=even_if_failing,
            interrupted=interrupted,
            on_read=progress.at,
            on_mapped=_on_mapped(progress),
            on_plan=on_plan,
            on_sent=progress.advance,
        )
    if as_json:
        echo_json(result.as_json())
    else:
        click.echo(f"{pluralize(result.sent.total(), 'dead letter')} sent back to {settings.topics.raw}")
    if result.left:
        click.echo(f"interrupted: {result.left} are left; run it again to send those", err=True)
        raise click.exceptions.Exit(130)


def _dry_run(
    settings: Settings, selection: Selection, max_attempts: int, *, even_if_failing: bool, as_json: bool
) -> None:
    with Progress("read", transient=True) as progress:
        planned = plan(
            settings,
            selection,
            max_attempts=max_attempts,
            even_if_failing=even_if_failing,
            on_read=progress.at,
            on_mapped=_on_mapped(progress),
        )
    if as_json:
        echo_json(planned.as_json())
        return
    click.echo(f"{pluralize(len(planned.letters), 'dead letter')} would be sent back to {settings.topics.raw}")
    for code, number in planned.would_become.most_common():
        if code not in planned.failing:
            click.echo(f"  {number} would become {'an event' if code == 'event' else f'a dead letter again: {code}'}")
    _report_left_out(planned, max_attempts)


def _on_mapped(progress: Progress) -> Callable[[int, int], None]:
    def at(done: int, total: int) -> None:
        if done:
            progress.at(done, total)
        else:
            progress.start(total, "mapped")

    return at


def _report_left_out(planned: RedrivePlan, max_attempts: int, *, err: bool = False) -> None:
    if planned.failing:
        codes = ", ".join(f"{number} {code}" for code, number in planned.failing.most_common())
        click.echo(
            f"{pluralize(planned.failing.total(), 'dead letter')} left out, because this version would make dead "
            f"letters of them again: {codes}. --even-if-failing sends them too",
            err=err,
        )
    if planned.exhausted:
        letters = pluralize(planned.exhausted.total(), "dead letter")
        click.echo(
            f"{letters} left alone: sent back {max_attempts} times or more already; raise --max-attempts to try again",
            err=err,
        )
