"""`sternpost send`: a simulated Customer.io that sends webhooks."""

import itertools
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import IO

import click
import orjson

from runtime.errors import CheckFailedError, ConfigurationError
from runtime.settings.model import Settings
from sternpost.cli import output, parameters
from sternpost.cli.output import pluralize
from sternpost.local import samples
from sternpost.local.customerio_simulator import Report, WebhookFeed


@click.command()
@click.argument("file", type=click.File("rb"), required=False)
@click.option("--url", help="URL of the endpoint.  [default: http://127.0.0.1:<ingest.port>/v1/webhook]")
@click.option("--write-key", help="Write key to send.  [default: the first source's]")
@click.option("--signing-key", help="Key to sign with.  [default: the first source's, if it has one]")
@click.option("--count", type=click.IntRange(1), help="Number of events.  [default: all of FILE, or one of each kind]")
@click.option(
    "--rate", type=click.FloatRange(0, min_open=True), help="Events per second.  [default: as fast as possible]"
)
@click.option(
    "--feeds",
    type=click.IntRange(1, 256),
    default=1,
    show_default=True,
    help="Number of webhook feeds that send at the same time.",
)
@click.option("--run", default="", help="Text to put into the event ids, so that a second run sends no duplicates.")
@click.option(
    "--stall-s",
    type=float,
    default=3_600,
    show_default=True,
    help="Seconds to wait after an answer that stalls the feed.",
)
@click.option(
    "--give-up-s", type=float, default=604_800, show_default=True, help="Seconds after which to give an event up."
)
@parameters.json_option
@parameters.pass_settings
def command(
    settings: Settings,
    file: IO[bytes] | None,
    url: str | None,
    write_key: str | None,
    signing_key: str | None,
    count: int | None,
    rate: float | None,
    feeds: int,
    run: str,
    stall_s: float,
    give_up_s: float,
    as_json: bool,
) -> None:
    """Send signed webhooks the way Customer.io does, with its rules for retries.

    FILE holds one JSON payload per line; without it, send sample events of every channel. Like Customer.io, each feed
    sends in order, waits 4 s for an answer, retries after a failure, and stalls for an hour (--stall-s) after an
    answer such as 401, 429 or 500. Exit 1 unless every event was acknowledged.
    """
    source = settings.sources[0] if settings.sources else None
    if write_key is None:
        if source is None:
            raise ConfigurationError("no source is configured: give --write-key or set STERNPOST_SOURCES")
        write_key = source.write_keys[0].get_secret_value()
        if signing_key is None and source.signing_keys:
            signing_key = source.signing_keys[0].get_secret_value()
    url = url or f"http://127.0.0.1:{settings.ingest.port}/v1/webhook"

    shares = _shares(_bodies(file, count, run), feeds)
    try:
        senders = [WebhookFeed(url, write_key, signing_key, stall_s=stall_s, give_up_s=give_up_s) for _ in range(feeds)]
    except ValueError as error:
        raise ConfigurationError(f"--url: {error}") from None
    interval_s = feeds / rate if rate else 0.0
    started = time.perf_counter()
    total = Report()
    with ThreadPoolExecutor(feeds) as pool:
        for report in pool.map(lambda pair: pair[0].send_all(pair[1], interval_s), zip(senders, shares, strict=True)):
            total.add(report)
    for sender in senders:
        sender.close()
    _print(total, time.perf_counter() - started, as_json)
    if total.acknowledged < total.sent:
        raise CheckFailedError(f"{total.sent - total.acknowledged} of {total.sent} events were not acknowledged")


def _bodies(file: IO[bytes] | None, count: int | None, run: str) -> Iterator[bytes]:
    if file is not None:
        lines = (line.rstrip(b"\r\n") for line in file)
        yield from itertools.islice((line for line in lines if line), count)
        return
    count = count or len(samples.PAIRS)
    since = int(time.time()) - count // 10  # the last one has just occurred
    for index in range(count):
        yield orjson.dumps(samples.payload(index, run, since=since))


def _shares(bodies: Iterator[bytes], feeds: int) -> list[Iterator[bytes]]:
    """Deal the bodies out to the feeds. With one feed they are read one by one, so a long file is never held whole."""
    if feeds == 1:
        return [bodies]
    held = list(bodies)
    return [iter(held[index::feeds]) for index in range(feeds)]


def _print(report: Report, seconds: float, as_json: bool) -> None:
    p50, p99 = report.percentile_ms(0.5), report.percentile_ms(0.99)
    if as_json:
        output.echo_json(
            {
                "sent": report.sent,
                "acknowledged": report.acknowledged,
                "given_up": report.given_up,
                "tries": report.tries,
                "stalls": report.stalls,
                "answers": dict(report.answers),
                "seconds": round(seconds, 3),
                "p50_ms": p50 and round(p50, 2),
                "p99_ms": p99 and round(p99, 2),
            }
        )
        return
    answers = ", ".join(f"{number} × {status}" for status, number in sorted(report.answers.items()))
    click.echo(f"{report.acknowledged} of {report.sent} events acknowledged in {seconds:.1f} s ({answers})")
    if p50 is not None and p99 is not None:
        click.echo(f"answer after {p50:.1f} ms (median), {p99:.1f} ms (99th percentile)")
    if report.stalls:
        click.echo(f"Customer.io would have stalled {pluralize(report.stalls, 'time')}")
