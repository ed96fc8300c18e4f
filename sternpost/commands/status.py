"""`sternpost status`: how the pipeline is doing."""

import time
from typing import TYPE_CHECKING

import click

from sternpost.commands import common

if TYPE_CHECKING:
    from runtime.settings import Settings


@click.command()
@click.option("--watch", is_flag=True, help="Keep looking, until Ctrl-C; with --json, one line for each look.")
@click.option(
    "--interval-s",
    type=click.FloatRange(0.1, 3_600),
    help="Time between two looks, which the throughput is measured over.  [default: 1, with --watch 2]",
)
@click.option("--count", type=click.IntRange(1), help="With --watch: end after so many looks.")
@common.json_option
@common.pass_settings
def command(settings: "Settings", watch: bool, interval_s: float | None, count: int | None, as_json: bool) -> None:
    """Show the group's members, how far it is behind, throughput, dead letters, schema and services.

    Works while the services are down: what the brokers know is asked of the brokers. The lag is counted to the last
    stable offset, in records, and in seconds since the oldest of them was received. Whether the processor is still
    catching up on what it deduplicates against shows on its line, if its admin port can be reached from here.
    """
    from sternpost.status.snapshot import Looker
    from sternpost.status.view import view
    from sternpost.terminal import console

    out = console()
    looker = Looker(settings)
    snapshot = looker.look()
    if not watch:
        time.sleep(interval_s or 1.0)
        snapshot = looker.look()
        if as_json:
            common.echo_json(snapshot.as_json())
        else:
            out.print(view(snapshot))
        return
    looks = 1
    if as_json or not out.is_terminal:
        while True:
            if as_json:
                common.echo_json(snapshot.as_json())
            else:
                out.print(view(snapshot))
            if looks == count:
                return
            time.sleep(interval_s or 2.0)
            snapshot = looker.look()
            looks += 1
    from rich.live import Live

    with Live(view(snapshot), console=out, auto_refresh=False, screen=count is None) as live:
        while looks != count:
            time.sleep(interval_s or 2.0)
            live.update(view(snapshot := looker.look()), refresh=True)
            looks += 1
