"""`sternpost acls`: the ACLs that each role needs."""

import click

from runtime.settings.model import Settings
from sternpost.cli import output, parameters
from sternpost.operations import acls
from sternpost.operations.changes_allowed import ChangesAllowed


@click.command()
@click.option(
    "--role",
    "roles",
    multiple=True,
    type=click.Choice([role.value for role in acls.Role]),
    help="Only this role. Repeatable.  [default: all]",
)
@click.option("--principal", help="Principal to grant the rights to.  [default: User:sternpost-<role>]")
@click.option("--replay-topic", "replay_topics", multiple=True, help="Topic that operators may replay to. Repeatable.")
@click.option("--create", "creating", is_flag=True, help="Create the ACLs instead of printing commands.")
@parameters.json_option
@parameters.pass_settings
def command(
    settings: Settings,
    roles: tuple[str, ...],
    principal: str | None,
    replay_topics: tuple[str, ...],
    creating: bool,
    as_json: bool,
) -> None:
    """Print the commands that grant each role exactly the rights it needs, or create these ACLs.

    The names of topics, groups and transactional ids come from the settings in force. The printed commands read the
    credentials of someone who may create ACLs from admin.properties; --create reads them from kafka.properties.
    """
    result = []
    for role in map(acls.Role, roles) if roles else acls.Role:
        to = principal or f"User:sternpost-{role}"
        wanted = acls.grants(settings, role, replay_topics)
        if creating:
            acls.create(settings, ChangesAllowed(), wanted, to)
        result.append({"role": role.value, "principal": to, "grants": [grant._asdict() for grant in wanted]})
        if as_json:
            continue
        if creating:
            click.echo(f"{role}: {len(acls.bindings(wanted, to))} ACLs for {to}")
        else:
            click.echo("\n".join([f"# {role}", *acls.commands(settings, wanted, to)]))
    if as_json:
        output.echo_json({"created": creating, "roles": result})
