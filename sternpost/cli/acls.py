"""`sternpost acls`: the rights that each role needs on the cluster."""

from typing import TYPE_CHECKING

import click

from sternpost.cli import parameters

if TYPE_CHECKING:
    from runtime.settings.model import Settings

ROLES = ("ingest", "processor", "provisioning", "viewer", "operator")


@click.command()
@click.option("--role", "roles", multiple=True, type=click.Choice(ROLES), help="Only this role  [default: all]")
@click.option("--principal", help="Who gets them  [default: User:sternpost-<role>]")
@click.option("--replay-topic", "replay_topics", multiple=True, help="A topic that operators may replay to.")
@click.option("--create", "creating", is_flag=True, help="Create them, rather than print the commands that do.")
@parameters.json_option
@parameters.pass_settings
def command(
    settings: "Settings",
    roles: tuple[str, ...],
    principal: str | None,
    replay_topics: tuple[str, ...],
    creating: bool,
    as_json: bool,
) -> None:
    """Print the commands that give each role what it needs and no more, or create these ACLs.

    The names of topics, groups and transactional ids are those of the settings in force. The commands take the
    credentials of someone who may create ACLs from admin.properties; --create takes them from kafka.properties.
    """
    from sternpost.operations import acls

    result = []
    for name in roles or ROLES:
        role = acls.Role(name)
        to = principal or f"User:sternpost-{role}"
        wanted = acls.grants(settings, role, replay_topics)
        if creating:
            acls.create(settings, wanted, to)
        result.append({"role": role.value, "principal": to, "grants": [grant._asdict() for grant in wanted]})
        if as_json:
            continue
        if creating:
            click.echo(f"{role}: {len(acls.bindings(wanted, to))} ACLs for {to}")
        else:
            click.echo("\n".join([f"# {role}", *acls.commands(settings, wanted, to)]))
    if as_json:
        parameters.echo_json({"created": creating, "roles": result})
