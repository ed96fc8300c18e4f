"""`sternpost process`: the consumer group."""

import sys
from typing import TYPE_CHECKING

import click

from sternpost.cli import parameters

if TYPE_CHECKING:
    from runtime.settings.model import Settings


@click.command()
@parameters.setting_option("--workers", setting="processor.workers", type=int, help="Group members on this machine.")
@parameters.setting_option(
    "--instance-id", setting="processor.instance_id", help="Stable name of this machine's members."
)
@parameters.setting_option("--profile", setting="processor.profile", help="rudderstack or corrected.")
@parameters.setting_option(
    "--admin-port", setting="processor.admin_port", type=int, help="Port of /healthz, /readyz, /metrics."
)
@parameters.pass_settings
def command(settings: "Settings") -> None:
    """Turn raw bodies into track events, one transaction a batch."""
    from processor.service import run

    sys.exit(run(settings))
