"""`sternpost status`: the state of the pipeline."""

import time
from collections.abc import Callable

import click
from rich.console import Group
from rich.live import Live
from rich.text import Text

from runtime.errors import DependencyError
from runtime.settings.model import Settings
from sternpost.cli import output, parameters
from sternpost.cli.output import console
from sternpost.cli.status_view import view
from sternpost.operations.status.snapshot import Snapshot, StatusCollector


@click.command()
@click.option("--watch", is_flag=True, help="Repeat until Ctrl-C; with --json, print one line each time.")
@click.option(
    "--interval-s",
    type=click.FloatRange(0.1, 3_600),
    help="Seconds between two looks; throughput is measured over this time.  [default: 1, with --watch 2]",
)
@click.option("--count", type=click.IntRange(1), help="With --watch: stop after this number of looks.")
@parameters.json_option
@parameters.pass_settings
def command(settings: Settings, watch: bool, interval_s: float | None, count: int | None, as_json: bool) -> None:
    """Show lag, group members, throughput, dead letters, schema and services.

    This works while the services are down, because most of it comes from the brokers. Lag is counted up to the last
    stable offset, in records and in seconds since the oldest of them was received. The processor's line says whether
    it is still restoring its deduplication state, if its admin port can be reached from here.
    """
    out = console()
    collector = StatusCollector(settings)
    snapshot = collector.collect()
    if not watch:
        time.sleep(interval_s or 1.0)
        snapshot = collector.collect()
        if as_json:
            output.echo_json(snapshot.as_json())
        else:
            out.print(view(snapshot))
        return
    looks = 1
    if as_json or not out.is_terminal:
        while True:
            if as_json:
                output.echo_json(snapshot.as_json())
            else:
                out.print(view(snapshot))
            if looks == count:
                return
            snapshot = _next(collector, interval_s or 2.0, lambda error: click.echo(f"error: {error}", err=True))
            looks += 1
    with Live(view(snapshot), console=out, auto_refresh=False, screen=count is None) as live:

        def tell(error: Exception) -> None:
            live.update(Group(Text(f"outdated: {error}\n", "bold red"), view(snapshot)), refresh=True)

        while looks != count:
            snapshot = _next(collector, interval_s or 2.0, tell)
            live.update(view(snapshot), refresh=True)
            looks += 1


def _next(collector: StatusCollector, interval_s: float, tell: Callable[[Exception], None]) -> Snapshot:
    """Return the next snapshot. While the brokers do not answer, report that and keep trying."""
    while True:
        time.sleep(interval_s)
        try:
            return collector.collect()
        except DependencyError as error:
            tell(error)
