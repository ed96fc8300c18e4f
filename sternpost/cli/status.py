"""`sternpost status`: how the pipeline is doing."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from sternpost.cli import parameters

if TYPE_CHECKING:
    from runtime.settings.model import Settings
    from sternpost.operations.status.snapshot import Snapshot, StatusCollector


@click.command()
@click.option("--watch", is_flag=True, help="Keep looking, until Ctrl-C; with --json, one line for each look.")
@click.option(
    "--interval-s",
    type=click.FloatRange(0.1, 3_600),
    help="Time between two looks, which the throughput is measured over.  [default: 1, with --watch 2]",
)
@click.option("--count", type=click.IntRange(1), help="With --watch: end after so many looks.")
@parameters.json_option
@parameters.pass_settings
def command(settings: "Settings", watch: bool, interval_s: float | None, count: int | None, as_json: bool) -> None:
    """Show the group's members, how far it is behind, throughput, dead letters, schema and services.

    Works while the services are down: what the brokers know is asked of the brokers. The lag is counted to the last
    stable offset, in records, and in seconds since the oldest of them was received. Whether the processor is still
    catching up on what it deduplicates against shows on its line, if its admin port can be reached from here.
    """
    from sternpost.cli.output import console
    from sternpost.cli.status_view import view
    from sternpost.operations.status.snapshot import StatusCollector

    out = console()
    looker = StatusCollector(settings)
    snapshot = looker.look()
    if not watch:
        time.sleep(interval_s or 1.0)
        snapshot = looker.look()
        if as_json:
            parameters.echo_json(snapshot.as_json())
        else:
            out.print(view(snapshot))
        return
    looks = 1
    if as_json or not out.is_terminal:
        while True:
            if as_json:
                parameters.echo_json(snapshot.as_json())
            else:
                out.print(view(snapshot))
            if looks == count:
                return
            snapshot = _next(looker, interval_s or 2.0, lambda error: click.echo(f"error: {error}", err=True))
            looks += 1
    from rich.console import Group
    from rich.live import Live
    from rich.text import Text

    with Live(view(snapshot), console=out, auto_refresh=False, screen=count is None) as live:

        def tell(error: Exception) -> None:
            live.update(Group(Text(f"as it was before: {error}\n", "bold red"), view(snapshot)), refresh=True)

        while looks != count:
            snapshot = _next(looker, interval_s or 2.0, tell)
            live.update(view(snapshot), refresh=True)
            looks += 1


def _next(looker: "StatusCollector", interval_s: float, tell: Callable[[Exception], None]) -> "Snapshot":
    """Goes on looking while brokers are away: that is when someone watches."""
    from runtime.errors import DependencyError

    while True:
        time.sleep(interval_s)
        try:
            return looker.look()
        except DependencyError as error:
            tell(error)
