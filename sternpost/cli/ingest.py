"""`sternpost ingest`: the HTTP service."""

import sys
from typing import TYPE_CHECKING

import click

from sternpost.cli import parameters

if TYPE_CHECKING:
    from runtime.settings.model import Settings


@click.command()
@parameters.setting_option("--host", setting="ingest.host", help="Address to listen on.")
@parameters.setting_option("--port", setting="ingest.port", type=int, help="Port to listen on.")
@parameters.setting_option(
    "--admin-port", setting="ingest.admin_port", type=int, help="Port of /healthz, /readyz, /metrics."
)
@parameters.setting_option("--workers", setting="ingest.workers", type=int, help="Processes that share the port.")
@parameters.pass_settings
def command(settings: "Settings") -> None:
    """Take webhooks in and write their bodies to the raw topic."""
    from ingest.service import run

    sys.exit(run(settings))
