"""`sternpost tail`: the events in the output topic."""

from itertools import islice
from typing import Any

import click

from runtime.kafka import range_consumer
from runtime.schema_registry import Registry
from runtime.settings.model import Settings
from schemas.track_event import EventReader, track_json
from sternpost.cli import output, parameters


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
    messages = range_consumer.read(
        settings,
        settings.topics.events,
        start=range_consumer.FROM_BEGINNING if from_beginning or no_follow else range_consumer.FROM_END,
        follow=not no_follow,
        idle_s=idle_s,
    )
    with Registry(settings.schema_registry) as registry:
        decode = EventReader(registry.schema)
        for message in islice(messages, count):
            event: dict[str, Any] = track_json(decode(message.value() or b""))
            if offsets:
                event = {
                    "partition": message.partition(),
                    "offset": message.offset(),
                    "headers": {
                        name: value.decode("utf-8", "backslashreplace")
                        for name, value in range_consumer.headers_of(message)
                        if value is not None
                    },
                    "event": event,
                }
            output.echo_json(event)
