"""`sternpost tail`: the events in the output topic."""

from itertools import islice

import click

from runtime.settings.model import Settings
from sternpost.cli import output, parameters
from sternpost.operations.tail import tail


@click.command()
@click.option("--from-beginning", is_flag=True, help="Start with the oldest event instead of the next one.")
@click.option("--no-follow", is_flag=True, help="Stop after the newest event instead of waiting for more.")
@click.option("--count", type=click.IntRange(1), help="Stop after this number of events.")
@click.option(
    "--idle-s", type=click.FloatRange(0, min_open=True), help="Stop when no event has come for this number of seconds."
)
@click.option("--offsets", is_flag=True, help="Print partition, offset and headers with each event.")
@parameters.pass_settings
def command(
    settings: Settings, from_beginning: bool, no_follow: bool, count: int | None, idle_s: float | None, offsets: bool
) -> None:
    """Print track events as JSON, one per line, decoded with the schemas in the registry.

    Only committed events are printed: those that a sink with isolation.level=read_committed sees.
    """
    unreadable = 0
    found = tail(settings, from_beginning=from_beginning or no_follow, follow=not no_follow, idle_s=idle_s)
    for tailed in islice(found, count):
        if tailed.event is None:
            unreadable += 1
        elif offsets:
            output.echo_json(
                {
                    "partition": tailed.partition,
                    "offset": tailed.offset,
                    "headers": {
                        name: value.decode("utf-8", "backslashreplace")
                        for name, value in tailed.headers
                        if value is not None
                    },
                    "event": tailed.event,
                }
            )
        else:
            output.echo_json(tailed.event)
    if unreadable:
        number = output.pluralize(unreadable, "record")
        click.echo(f"skipped {number} of {settings.topics.events} that cannot be read as events", err=True)
