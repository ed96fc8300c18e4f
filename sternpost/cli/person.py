"""`sternpost person`: where a person's records are."""

from collections import Counter

import click

from runtime.settings.model import Settings
from sternpost.cli import output, parameters
from sternpost.operations import people
from sternpost.operations.people import Holder, Person


@click.group()
def command() -> None:
    """Find a person's records, to answer who asks for them or wants them erased."""


@command.command("find")
@click.argument("identifiers", nargs=-1, required=True)
@click.option(
    "--in",
    "holders",
    type=click.Choice([holder.value for holder in Holder]),
    multiple=True,
    help="Only this topic. Repeatable.  [default: all three]",
)
@click.option("--show-values", is_flag=True, help="Print each record's content as well. It is the person's data.")
@parameters.pass_settings
def find(settings: Settings, identifiers: tuple[str, ...], holders: tuple[str, ...], show_values: bool) -> None:
    """Print the place of each record that names a person, as a line of JSON.

    IDENTIFIERS are whatever the person is known by: customer id, cio_id, email address, phone number, anonymous id or
    device. A record that has any of them is found. Every record of the topics is read; what they hold cannot be
    changed. Records that hold the person's data without naming the person in such a field are not found.
    """
    try:
        person = Person(identifiers)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="IDENTIFIERS") from None
    counts: Counter[str] = Counter()
    asked = tuple(map(Holder, holders)) or tuple(Holder)
    with output.graceful_interrupt() as interrupted, output.Progress("records read") as progress:
        found = people.find(
            settings,
            person,
            asked,
            stop=interrupted,
            on_start=lambda topic, offsets: progress.start(offsets, f"records of {topic} read"),
            on_read=progress.advance,
        )
        for record in found:
            counts[record.topic] += 1
            output.echo_json(record.as_json(with_value=show_values))
    for holder in asked:
        topic = holder.topic(settings)
        click.echo(f"{topic}: {output.pluralize(counts[topic], 'record')} found", err=True)
    if interrupted.is_set():
        raise click.Abort
