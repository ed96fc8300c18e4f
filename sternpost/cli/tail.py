"""`sternpost tail`: what is in the output topics."""

from typing import TYPE_CHECKING, Any

import click

from sternpost.cli import parameters

if TYPE_CHECKING:
    from runtime.settings.model import Settings


@click.command()
@click.option("--from-beginning", is_flag=True, help="All that is there, not only what comes from now on.")
@click.option("--no-follow", is_flag=True, help="End with the last event that is there.")
@click.option("--count", type=click.IntRange(1), help="End after so many events.")
@click.option("--idle-s", type=click.FloatRange(0, min_open=True), help="End when none came for so many seconds.")
@click.option("--offsets", is_flag=True, help="With partition, offset and headers around each event.")
@parameters.pass_settings
def command(
    settings: "Settings", from_beginning: bool, no_follow: bool, count: int | None, idle_s: float | None, offsets: bool
) -> None:
    """Show the track events as JSON, one a line, decoded through the schema registry.

    Only committed events are shown: what a sink with isolation.level=read_committed sees.
    """
    from itertools import islice

    from runtime.kafka import range_consumer
    from runtime.schema_registry import Registry
    from schemas.avro.decoder import EventReader
    from schemas.track_event import track_json

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
            parameters.echo_json(event)
