"""`sternpost doctor`: is everything as it must be, and if not, what to do."""

from typing import TYPE_CHECKING

import click

from sternpost.cli import parameters

if TYPE_CHECKING:
    from runtime.settings.model import Settings
    from sternpost.operations.doctor.check import Check

STYLES = {"ok": ("✓", "green"), "warning": ("!", "yellow"), "fault": ("✗", "red"), "skipped": ("-", "dim")}


@click.command()
@click.option("--url", help="The webhook endpoint  [default: http://127.0.0.1:<ingest.port>/v1/webhook]")
@click.option(
    "--role",
    type=click.Choice(["ingest", "processor", "provisioning", "viewer", "operator"]),
    help="Whether the user in kafka.properties may do what this role needs.",
)
@click.option("--send", is_flag=True, help="Send a signed event of each source the whole way, to sinks as well.")
@parameters.json_option
@parameters.pass_settings
def command(settings: "Settings", url: str | None, role: str | None, send: bool, as_json: bool) -> None:
    """Examine brokers, topics, rights, clocks, registry and endpoint; exits 1 where something is at fault.

    Each finding comes with its mend. Nothing is changed, but for a topic that lives for a moment to ask the brokers
    the time. With --send, an event about the person `sternpost-doctor` goes all the way, and every sink will see it.
    """
    from runtime.errors import CheckFailedError
    from sternpost.operations.acls import Role
    from sternpost.operations.doctor.run_checks import run_checks

    scheme = "https" if settings.ingest.tls_certificate else "http"
    url = url or f"{scheme}://127.0.0.1:{settings.ingest.port}/v1/webhook"
    checks: list[Check] = []
    for check in run_checks(settings, url=url, role=Role(role) if role else None, send=send):
        checks.append(check)
        if not as_json:
            _print(check)
    faults = sum(check.verdict == "fault" for check in checks)
    warnings = sum(check.verdict == "warning" for check in checks)
    if as_json:
        parameters.echo_json({"faults": faults, "warnings": warnings, "checks": [check._asdict() for check in checks]})
    if faults:
        raise CheckFailedError(f"{faults} fault{'s' if faults > 1 else ''} found")
    if not as_json:
        from sternpost.cli.output import pluralize

        click.echo("no faults found" + (f", {pluralize(warnings, 'warning')}" if warnings else ""))


def _print(check: "Check") -> None:
    sign, colour = STYLES[check.verdict]
    from sternpost.cli.output import printable

    click.echo(f"{click.style(sign, fg=None if colour == 'dim' else colour)} {check.name}: {printable(check.detail)}")
    if check.mend:
        click.echo(f"    mend: {printable(check.mend)}")
