"""`sternpost schema`: the events' Avro schema in the registry."""

from typing import TYPE_CHECKING

import click

from sternpost.cli import parameters

if TYPE_CHECKING:
    from runtime.settings.model import Settings


@click.group()
def command() -> None:
    """Register the events' Avro schema, or check it."""


@command.command()
@parameters.json_option
@parameters.pass_settings
def register(settings: "Settings", as_json: bool) -> None:
    """Register the newest version under the events topic's subject, and keep it compatible (FULL_TRANSITIVE)."""
    from sternpost.operations import schema

    found = schema.register(settings, warn=lambda text: click.echo(f"warning: {text}", err=True))
    if as_json:
        parameters.echo_json(found._asdict())
    else:
        click.echo(f"{found.subject}: version {found.version}, id {found.id}")


@command.command()
@parameters.json_option
@parameters.pass_settings
def check(settings: "Settings", as_json: bool) -> None:
    """Check that the registry has the schema and keeps it compatible; exits 1 where not."""
    from runtime.errors import CheckFailedError
    from sternpost.operations import schema

    found, findings, notes = schema.check(settings)
    for note in notes:
        click.echo(f"note: {note}", err=True)
    if as_json:
        parameters.echo_json({"registered": found._asdict() if found else None, "findings": findings})
    elif found and not findings:
        click.echo(f"{found.subject}: version {found.version}, id {found.id}, as it should be")
    if findings:
        raise CheckFailedError("; ".join(findings))
