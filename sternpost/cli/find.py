"""`sternpost find`: what became of one event."""

import re
from typing import Any

import click

from runtime.errors import CheckFailedError
from runtime.settings.model import Settings
from schemas.track_event import iso
from sternpost.cli import output, parameters
from sternpost.cli.output import Progress, graceful_interrupt
from sternpost.operations.trace import Place, Trace, TracedRecord, trace

MOST_ROWS = 1_000
"""Records to show. There can be any number with one event id."""


class RawPlace(click.ParamType[Place]):
    """A partition and an offset of the raw topic."""

    name = "partition:offset"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Place:
        """Parse the value; a wrong one is a usage error."""
        if isinstance(value, tuple):
            return value
        if not re.fullmatch(r"[0-9]{1,9}:[0-9]{1,18}", value):
            self.fail("write the partition and the offset: 3:1200", param, ctx)
        partition, offset = value.split(":")
        return int(partition), int(offset)


@click.command()
@click.argument("event_id")
@click.option("--source", help="Name of the source, if several send the same ids.")
@click.option("--at", type=RawPlace(), help="Place of its webhook in the raw topic, such as 3:1200, if it is known.")
@parameters.json_option
@parameters.pass_settings
def command(settings: Settings, event_id: str, source: str | None, at: Place | None, as_json: bool) -> None:
    """Find a webhook by its event id, and what became of it: an event, a dead letter or a duplicate.

    The raw topic is searched from the time in the id on if the id has one, as Customer.io's have, else from the newest
    record back. Ctrl-C ends the search with what was found. Payloads are not shown: `sternpost console` does, and
    `sternpost dead-letters show`.
    """
    with graceful_interrupt() as interrupted, Progress("offsets read", transient=True) as progress:
        found = trace(settings, event_id, source, at=at, stop=interrupted, on_progress=progress.at)
    if as_json:
        output.echo_json_with_list(
            {"event_id": found.event_id, "complete": found.complete},
            "records",
            (record.as_json() for record in found.records),
        )
    else:
        _show(settings, found)
    if interrupted.is_set():
        click.echo("interrupted: not everything was searched", err=True)
        raise click.exceptions.Exit(130)
    if not found.records:
        raise CheckFailedError(
            f"{settings.topics.raw} has no record with this event id"
            + (f" of the source {source}" if source else "")
            + "; it may be older than topics.raw_retention_ms"
        )


def _show(settings: Settings, found: Trace) -> None:
    table = output.table("raw record", "source", "received", "became", "", folded=("",))
    for record in found.records[:MOST_ROWS]:
        partition, offset = record.place
        table.add_row(
            output.text(f"{partition}:{offset}"),
            output.text(record.source),
            iso(record.received_ms),
            output.text(record.fate),
            output.text(describe(settings, record)),
        )
    if found.records:
        output.console().print(table)
    if more := found.records[MOST_ROWS:]:
        click.echo(f"and {output.pluralize(len(more), 'more record')}, which --json prints as well")


def describe(settings: Settings, record: TracedRecord) -> str:
    """Say in a sentence what became of a record."""
    if record.event is not None:
        return f"{settings.topics.events} {record.event.partition}:{record.event.offset}"
    if (letter := record.letter) is not None:
        sent_back = ", sent back" if letter.redriven else ""
        at = f"{settings.topics.dead_letters} {letter.partition}:{letter.offset}"
        return f"{at}{sent_back}: {letter.code}: {letter.message}"
    if record.duplicate_of is not None:
        return f"of {record.place[0]}:{record.duplicate_of}"
    return ""
