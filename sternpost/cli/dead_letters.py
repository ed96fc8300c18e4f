"""`sternpost dead-letters`: look at payloads that could not become events, and send them back."""

from contextlib import suppress
from dataclasses import replace
from typing import IO

import click
import orjson

from processor.pipeline.records import DeadLetter
from runtime import disk
from runtime.settings.model import Settings
from schemas.track_event import iso
from sternpost.cli import parameters
from sternpost.cli.dead_letters_filters import PartitionOffset, filter_options
from sternpost.cli.dead_letters_redrive import redrive
from sternpost.cli.output import Progress, console, echo_json, pluralize, silence_logs, table, text
from sternpost.operations.dead_letters.listing import list_dead_letters
from sternpost.operations.dead_letters.opened import open_dead_letter
from sternpost.operations.dead_letters.record import as_json_with_payload
from sternpost.operations.dead_letters.selection import Selection, read_selected
from sternpost.operations.printable import printable


@click.group()
def command() -> None:
    """List, show, export and redrive the payloads that could not become events."""


command.add_command(redrive)


@command.command("list")
@filter_options
@click.option("--all", "with_redriven", is_flag=True, help="Include those that were sent back.")
@click.option(
    "--limit",
    type=click.IntRange(0),
    default=20,
    show_default=True,
    help="Number of dead letters to list; 0 lists all.",
)
@click.option(
    "--most-records",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    help="Number of the topic's newest records to read; 0 reads all.",
)
@parameters.json_option
@parameters.pass_settings
def list_(
    settings: Settings, selection: Selection, with_redriven: bool, limit: int, most_records: int, as_json: bool
) -> None:
    """Count dead letters and list the newest.

    They are counted by code, source and field. Payloads are not shown.
    """
    with Progress("read", transient=True) as progress:
        listing = list_dead_letters(
            settings, replace(selection, redriven=with_redriven), limit, progress.at, most_records
        )
    if as_json:
        echo_json(listing.as_json())
        return
    looked_at = listing.looked_at
    if not looked_at.complete:
        since = "" if looked_at.since_ms is None else f", everything since {_to_second(looked_at.since_ms)}"
        click.echo(f"read {looked_at.records} of {looked_at.of} records{since}", err=True)
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
    """Show a dead letter and mark the field at fault.

    Show its headers, its payload, and what this version would make of it. AT is its partition:offset, as `sternpost
    dead-letters list` prints it. The payload is a person's data.
    """
    silence_logs()  # it reports an internal error by its code
    opened = open_dead_letter(settings, at)
    if as_json:
        echo_json(opened.as_json())
        return
    letter, out = opened.letter, console(soft_wrap=True)
    for name, value in {k: v for k, v in letter.as_json().items() if v is not None and k != "raw"}.items():
        out.print(text(f"{name:12} ", "bold").append(text(str(value), "red" if name in ("code", "message") else "")))
    raw = f"{letter.raw_topic} {letter.raw_partition}:{letter.raw_offset}"
    out.print(text(f"{'raw record':12} ", "bold").append(text(raw)))
    out.print("\nheaders", style="bold")
    for name, value in opened.headers.items():
        out.print(text(f"  {name}: {value}"))
    out.print("\npayload", style="bold")
    for line in opened.lines():
        out.print(text(f"{'▶' if line.at_fault else ' '} {line.text}", "bold red" if line.at_fault else ""))
        if line.at_fault and line.number is not None:
            out.print(text(f"  {' ' * line.start}▲", "bold red"))
    out.print("\nthis version would make of it", style="bold")
    if isinstance(opened.now, DeadLetter):
        out.print(text(f"  a dead letter again: {opened.now.code}: {opened.now.message}", "red"))
    else:
        out.print(text(f"  an event: {opened.now['event']}", "green"))


@command.command()
@filter_options
@click.option("--all", "with_redriven", is_flag=True, help="Include those that were sent back.")
@click.option(
    "--output", type=click.File("wb", lazy=True), default="-", help="File to write.  [default: standard output]"
)
@click.option("--bodies", is_flag=True, help="Only the payloads, as they were sent, for `sternpost transform`.")
@parameters.pass_settings
def export(settings: Settings, selection: Selection, with_redriven: bool, output: IO[bytes], bodies: bool) -> None:
    """Write dead letters to a file, one per line.

    A line is the JSON object that `show --json` prints, without `now`. The payloads are people's data.
    """
    if bodies and output.isatty():
        raise click.UsageError("a terminal would obey what is in the payloads; give --output FILE, or a pipe")
    try:
        number = _export(output, settings, replace(selection, redriven=with_redriven), bodies=bodies)
    except BrokenPipeError:
        raise
    except OSError as error:
        with suppress(OSError):
            output.close()  # otherwise it fails once more when click closes it
        remedy = "what is there is incomplete; free space on its disk, or give another --output"
        raise disk.unwritable(output.name, error, remedy) from None
    click.echo(f"{pluralize(number, 'dead letter')} exported", err=True)


def _export(output: IO[bytes], settings: Settings, selection: Selection, *, bodies: bool) -> int:
    """Write the selected letters and return their number. Raises OSError."""
    number = 0
    with Progress("read", transient=True) as progress:
        for letter, message in read_selected(settings, selection, progress.at):
            if bodies:
                # In JSON text a line break is only white space between tokens; other text stays malformed without it.
                line = (message.value() or b"").replace(b"\r", b" ").replace(b"\n", b" ")
            else:
                line = printable(orjson.dumps(as_json_with_payload(letter, message)).decode()).encode()
            output.write(line + b"\n")
            number += 1
    output.flush()
    return number
