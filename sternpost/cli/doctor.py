"""`sternpost doctor`: checks of everything Sternpost depends on, and how to fix what is wrong."""

import click

from runtime.errors import CheckFailedError
from runtime.settings.model import Settings
from sternpost.cli import output, parameters
from sternpost.cli.output import pluralize
from sternpost.operations.acls import Role
from sternpost.operations.changes_allowed import ChangesAllowed
from sternpost.operations.doctor.check import Check
from sternpost.operations.doctor.run_checks import run_checks
from sternpost.operations.printable import printable

STYLES = {"ok": ("✓", "green"), "warning": ("!", "yellow"), "fault": ("✗", "red"), "skipped": ("-", "dim")}


@click.command()
@click.option("--url", help="URL of the webhook endpoint.  [default: http://127.0.0.1:<ingest.port>/v1/webhook]")
@click.option("--no-endpoint", is_flag=True, help="Leave the webhook endpoint out.")
@click.option(
    "--role",
    type=click.Choice([role.value for role in Role]),
    help="Check that the user in kafka.properties has the rights of this role.",
)
@click.option("--send", is_flag=True, help="Send a signed event of each source through the whole pipeline.")
@parameters.json_option
@parameters.pass_settings
def command(
    settings: Settings, url: str | None, no_endpoint: bool, role: str | None, send: bool, as_json: bool
) -> None:
    """Check brokers, topics, rights, clocks, registry and endpoint, and say how to fix what is wrong.

    Exit 1 if there is a fault. Nothing is changed, except that a short-lived topic is created to learn the brokers'
    time. With --send, sinks see an event about the person `sternpost-doctor`.
    """
    if no_endpoint and (url or send):
        raise click.UsageError("--no-endpoint leaves out what --url and --send ask")
    if not (url or no_endpoint):
        scheme = "https" if settings.ingest.tls_certificate else "http"
        url = f"{scheme}://127.0.0.1:{settings.ingest.port}/v1/webhook"
    checks: list[Check] = []
    found = run_checks(settings, ChangesAllowed(), url=url, role=Role(role) if role else None, send=send)
    for check in found:
        checks.append(check)
        if not as_json:
            _print(check)
    faults = sum(check.severity == "fault" for check in checks)
    warnings = sum(check.severity == "warning" for check in checks)
    if as_json:
        output.echo_json({"faults": faults, "warnings": warnings, "checks": [check.as_json() for check in checks]})
    if faults:
        raise CheckFailedError(f"{pluralize(faults, 'fault')} found")
    if not as_json:
        click.echo("no faults found" + (f", {pluralize(warnings, 'warning')}" if warnings else ""))


def _print(check: Check) -> None:
    sign, colour = STYLES[check.severity]
    click.echo(f"{click.style(sign, fg=None if colour == 'dim' else colour)} {check.name}: {printable(check.detail)}")
    if check.remedy:
        click.echo(f"    fix: {printable(check.remedy)}")
