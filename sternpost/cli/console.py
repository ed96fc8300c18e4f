"""`sternpost console`: a web page for operators."""

import importlib.util

import click

from runtime import logs
from runtime.errors import ConfigurationError
from runtime.settings.model import Settings
from sternpost.cli import parameters
from sternpost.operations.changes_allowed import ChangesAllowed


@click.command()
@parameters.setting_option("--host", setting="console.host", help="Address to listen on.")
@parameters.setting_option("--port", type=int, setting="console.port", help="Port to listen on; 0 takes a free one.")
@parameters.setting_option(
    "--tls-certificate", setting="console.tls_certificate", help="Certificate chain (PEM); needed beyond this machine."
)
@parameters.setting_option("--tls-key", setting="console.tls_key", help="Private key (PEM) of the certificate.")
@click.option(
    "--allow-changes", is_flag=True, help="Let the page redrive dead letters and replay; without it, it only looks."
)
@parameters.pass_settings
def command(settings: Settings, allow_changes: bool) -> None:
    """Open a web page on this machine: the pipeline, its events, its dead letters.

    The page shows what `status`, `doctor`, `tail`, `dead-letters`, `transform` and `replay` print, and says which
    command prints it. People's data is covered until it is asked for. It listens on 127.0.0.1; the address that is
    printed holds a token, which works once. It ends on Ctrl-C.
    """
    require_installed()
    logs.configure(settings.log)
    run(settings, allow_changes=allow_changes)


def require_installed() -> None:
    """Raise ConfigurationError if the extra `console` is not installed."""
    if importlib.util.find_spec("nicegui") is None:
        raise ConfigurationError("the console needs NiceGUI; install it with `pip install 'sternpost[console]'`")


def run(settings: Settings, *, allow_changes: bool) -> None:
    """Serve the console until Ctrl-C or SIGTERM. Raises ConfigurationError."""
    from sternpost.console import server  # noqa: PLC0415 (an extra)

    server.serve(settings, ChangesAllowed() if allow_changes else None, _announce)


def _announce(address: str) -> None:
    click.echo(f"The console: {address}")
