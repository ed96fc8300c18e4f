"""`sternpost healthcheck`: the health check of a container or a systemd unit."""

import http.client

import click

from runtime.errors import CheckFailedError, ConfigurationError
from runtime.settings.model import Settings
from sternpost.cli import parameters
from sternpost.operations.listening_address import reachable_host

TIMEOUT_S = 3.0


@click.command()
@click.argument("service", type=click.Choice(["ingest", "processor"]), required=False)
@click.option(
    "--ready", is_flag=True, help="Ask whether it is ready to work (/readyz) instead of whether it is alive (/healthz)."
)
@parameters.pass_settings
def command(settings: Settings, service: str | None, ready: bool) -> None:
    """Ask the service on this machine, on its admin port, whether it is healthy. Exit 1 if it is not.

    Without a service name, ask both admin ports and skip one on which nothing listens; at least one must answer. Use
    this for a container's HEALTHCHECK, for Compose and for systemd. A service that waits for Kafka is alive, but not
    ready.
    """
    path = "/readyz" if ready else "/healthz"
    silent: list[str] = []
    answers = 0
    for name in [service] if service else ["ingest", "processor"]:
        section = settings.ingest if name == "ingest" else settings.processor
        if section.admin_port == 0:
            if service is None:
                continue
            raise ConfigurationError(
                f"{name}.admin_port is 0, so the service takes a free port that only its log tells; set a fixed port"
            )
        host = reachable_host(section.admin_host)
        try:
            status, text = _get(host, section.admin_port, path)
        except ConnectionRefusedError:
            silent.append(f"nothing listens on {name}.admin_port {host}:{section.admin_port}")
            continue
        except (OSError, http.client.HTTPException) as error:
            reason = str(error) or type(error).__name__
            raise CheckFailedError(f"{name} does not answer on {host}:{section.admin_port}{path} ({reason})") from None
        if status != http.HTTPStatus.OK:
            raise CheckFailedError(f"{name} answers {status} on {host}:{section.admin_port}{path}: {text}")
        answers += 1
        click.echo(f"{name}: {text}")
    if not answers:
        raise CheckFailedError(
            "; ".join(silent) or "both admin ports are 0: set ingest.admin_port or processor.admin_port to a fixed port"
        )


def _get(host: str, port: int, path: str) -> tuple[int, str]:
    """Return the status and the first line of the body. Raises OSError and http.client.HTTPException."""
    connection = http.client.HTTPConnection(host, port, timeout=TIMEOUT_S)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        lines = response.read(10_000).decode("utf-8", "replace").splitlines()
        return response.status, lines[0] if lines else ""
    finally:
        connection.close()
