"""`sternpost mapping`: the mapping as a table."""

import click

from sternpost.cli import parameters
from sternpost.cli.output import console, echo_json, table, text
from sternpost.operations.mapping import find_rows


@click.command()
@click.argument("words", nargs=-1)
@parameters.json_option
def command(words: tuple[str, ...], as_json: bool) -> None:
    """Print which field of an event comes from which of the payload, and how events are named.

    With WORDS, print only the rows that hold each of them: `sternpost mapping recipient corrected`.
    """
    found = find_rows(words)
    if as_json:
        echo_json(found.as_json())
        return
    out = console()
    if found.fields:
        fields = table("field of the event", "from", "type", "profile", "meaning", folded=("from", "meaning"))
        for row in found.fields:
            sources, meaning = ", ".join(row.sources), row.meaning + (f" ({row.condition})" if row.condition else "")
            fields.add_row(text(row.target), text(sources), text(row.type), text(row.profile), text(meaning))
        out.print(fields)
    if found.events:
        events = table("object type", "metric", "event")
        for event in found.events:
            events.add_row(text(event.object_type), text(event.metric), text(event.event))
        out.print(events)
    if not found.fields and not found.events:
        click.echo("no row of the mapping holds that", err=True)
