"""`sternpost ingest`: the HTTP service."""

import sys

import click

from ingest.service import run
from runtime.settings.model import Settings
from sternpost.cli import parameters


@click.command()
@parameters.setting_option("--host", setting="ingest.host", help="Address to listen on.")
@parameters.setting_option("--port", setting="ingest.port", type=int, help="Port to listen on.")
@parameters.setting_option(
    "--admin-port", setting="ingest.admin_port", type=int, help="Port of /healthz, /readyz and /metrics."
)
@parameters.setting_option(
    "--workers", setting="ingest.workers", type=int, help="Number of processes that share the port."
)
@parameters.pass_settings
def command(settings: Settings) -> None:
    """Receive webhooks and write their bodies to the raw topic."""
    sys.exit(run(settings))
