"""`python -m benchmarks`: run all benchmarks, or those named, on a local stack that it starts."""

import contextlib
import shlex
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import click

from benchmarks import catch_up, cluster, flood, ingest, latency, load, parts, processing, rebalance, result, start
from benchmarks.cluster import OURS, Cluster
from benchmarks.half_busy import cores as cores_half_busy
from benchmarks.result import Result
from runtime.settings.model import GroupProtocol

NAMES = (
    "parts",
    "deduplication",
    "processing",
    "ingest",
    "latency",
    "growth",
    "catch-up",
    "start",
    "rebalance",
    "flood",
)
FLOOR = f"exec {shlex.quote(sys.executable)} -m benchmarks.floor"
RESULTS = Path(__file__).parent / "results"


@click.command(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.argument("names", nargs=-1, type=click.Choice(NAMES))
@click.option("--quick", is_flag=True, help="Use small amounts, for a first look: about two minutes for everything.")
@click.option("--runs", type=click.IntRange(1), default=3, help="Runs of each benchmark, alternating between programs.")
@click.option(
    "--events", type=click.IntRange(1_000), help="Events in each run of processing.  [default: 300000; quick: 50000]"
)
@click.option("--ids", type=click.IntRange(1_000), help="Event ids in catch-up.  [default: 1000000; quick: 100000]")
@click.option(
    "--seconds", type=click.IntRange(1), help="Seconds of load in ingest and latency.  [default: 10; quick: 2]"
)
@click.option(
    "--peer",
    "peers",
    multiple=True,
    metavar="NAME=COMMAND",
    help="Shell command of a program to compare in `processing`. It finds RAW, OUT, DEAD, BOOTSTRAP, REGISTRY "
    "and GROUP in its environment; the schema is registered as subject $OUT-value.",
)
@click.option(
    "--ingest-peer",
    "ingest_peers",
    multiple=True,
    metavar="NAME=COMMAND",
    help="Shell command of a program to compare in `ingest`. It finds PORT, RAW, BOOTSTRAP, WRITE_KEY and SIGNING_KEY "
    "in its environment.",
)
@click.option("--half-busy", is_flag=True, help="Run beside a job that keeps each core busy half of the time.")
@click.option("--bootstrap-servers", help="Measure on this cluster. Needs --registry-url as well.")
@click.option("--registry-url", help="Address of the registry's Confluent-compatible API.")
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="JSON file to write.  [default: a file in benchmarks/results]",
)
def main(
    names: tuple[str, ...],
    quick: bool,
    runs: int,
    events: int | None,
    ids: int | None,
    seconds: int | None,
    peers: tuple[str, ...],
    ingest_peers: tuple[str, ...],
    half_busy: bool,
    bootstrap_servers: str | None,
    registry_url: str | None,
    output: Path | None,
) -> None:
    """Run the named benchmarks, or all of them. Print a table and write JSON."""
    if (bootstrap_servers is None) != (registry_url is None):
        raise click.UsageError("--bootstrap-servers and --registry-url go together")
    wanted = names or NAMES
    events = events or (50_000 if quick else 300_000)
    ids = ids or (100_000 if quick else 1_000_000)
    seconds = seconds or (2 if quick else 10)
    runs = 1 if quick else runs
    before = result.machine()
    click.echo(f"machine: {before}", err=True)
    if "ingest" in wanted and not load.has_wrk():
        click.echo("wrk is not installed: our own client limits the requests per second", err=True)
    results: list[Result] = []
    output = output or RESULTS / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}.json"
    beside = cores_half_busy() if half_busy else contextlib.nullcontext()
    with cluster.running(bootstrap_servers, registry_url) as place, beside:
        for number in range(runs):
            for name in wanted:
                for one in _measure(name, place, events, ids, seconds, quick, _named(peers), _named(ingest_peers)):
                    figures = ", ".join(f"{figure}={value:.4g}" for figure, value in one.figures.items())
                    click.echo(f"{number + 1}/{runs} {one.benchmark} {one.subject} {one.case}: {figures}", err=True)
                    results.append(one)
                    result.write(output, results, before)  # what was measured stays, whatever comes next
    click.echo(result.table(result.summarise(results)))
    click.echo(f"written to {output}", err=True)


def _measure(
    name: str,
    place: Cluster,
    events: int,
    ids: int,
    seconds: int,
    quick: bool,
    peers: dict[str, str | None],
    ingest_peers: dict[str, str | None],
) -> Iterator[Result]:
    match name:
        case "parts":
            yield from parts.measure(min(events, 50_000))
        case "deduplication":
            yield parts.deduplication(100_000 if quick else 2_000_000)
        case "processing":
            for subject, command in {**peers, "floor": FLOOR}.items():
                yield processing.measure(place, events, subject=subject, command=command)
        case "ingest":
            for subject, command in ingest_peers.items():
                yield from ingest.measure(place, (16, 64, 256), seconds, subject=subject, command=command)
        case "latency":
            yield latency.measure(place, 200 if quick else 1_000, max(3, 2 * seconds))
        case "flood":
            yield from flood.measure(place, seconds, 1 if quick else 5)
        case "growth":
            for partitions in (1, 16) if quick else (1, 4, 16, 64):
                yield _growth(place, events, partitions=partitions)
            for people in (1,) if quick else (1, 100):
                yield _growth(place, events, people=people)
            yield _growth(place, events, workers=2)
        case "catch-up":
            yield catch_up.measure(place, ids)
        case "start":
            yield from start.measure(place)
        case "rebalance":
            for protocol in GroupProtocol:
                yield from rebalance.measure(place, events, protocol)


def _growth(place: Cluster, events: int, **case: int) -> Result:
    return processing.measure(place, events, subject=OURS, benchmark="growth", **case)  # type: ignore[arg-type]


def _named(given: tuple[str, ...]) -> dict[str, str | None]:
    """Ours first, then the peers."""
    return {OURS: None, **dict(one.split("=", 1) for one in given)}


if __name__ == "__main__":
    sys.exit(main())
