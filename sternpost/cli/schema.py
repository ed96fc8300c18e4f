"""`sternpost schema`: the events' Avro schema in the registry."""

import click

from runtime.errors import CheckFailedError
from runtime.settings.model import Settings
from sternpost.cli import output, parameters
from sternpost.operations import schema
from sternpost.operations.changes_allowed import ChangesAllowed


@click.group()
def command() -> None:
    """Register the events' Avro schema, or check it."""


@command.command()
@parameters.json_option
@parameters.pass_settings
def register(settings: Settings, as_json: bool) -> None:
    """Register the newest version of the schema.

    Register it under the subject of the events topic, and set the subject's compatibility to FULL_TRANSITIVE.
    """
    found = schema.register(settings, ChangesAllowed(), warn=lambda text: click.echo(f"warning: {text}", err=True))
    if as_json:
        output.echo_json(found._asdict())
    else:
        click.echo(f"{found.subject}: version {found.version}, id {found.id}")


@command.command()
@parameters.json_option
@parameters.pass_settings
def check(settings: Settings, as_json: bool) -> None:
    """Check that the registry has the schema and keeps it compatible. Exit 1 if it does not."""
    found, findings, notes = schema.check(settings)
    for note in notes:
        click.echo(f"note: {note}", err=True)
    if as_json:
        output.echo_json({"registered": found._asdict() if found else None, "findings": findings})
    elif found and not findings:
        click.echo(f"{found.subject}: version {found.version}, id {found.id}: ok")
    if findings:
        raise CheckFailedError("; ".join(findings))
