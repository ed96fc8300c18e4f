"""`sternpost process`: the consumer group."""

import sys

import click

from processor.service import run
from runtime.settings.model import Settings
from sternpost.cli import parameters


@click.command()
@parameters.setting_option(
    "--workers", setting="processor.workers", type=int, help="Number of consumer group members on this machine."
)
@parameters.setting_option(
    "--instance-id", setting="processor.instance_id", help="Stable name of the members on this machine."
)
@parameters.setting_option("--profile", setting="processor.profile", help="Mapping profile: rudderstack or corrected.")
@parameters.setting_option(
    "--admin-port", setting="processor.admin_port", type=int, help="Port of /healthz, /readyz and /metrics."
)
@parameters.pass_settings
def command(settings: Settings) -> None:
    """Turn raw records into track events, one transaction per batch."""
    sys.exit(run(settings))
