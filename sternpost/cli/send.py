"""`sternpost send`: acts as Customer.io."""

import itertools
from collections.abc import Iterator
from typing import IO, TYPE_CHECKING

import click

from sternpost.cli import parameters

if TYPE_CHECKING:
    from runtime.settings.model import Settings
    from sternpost.local.customerio_simulator import Report


@click.command()
@click.argument("file", type=click.File("rb"), required=False)
@click.option("--url", help="The endpoint  [default: http://127.0.0.1:<ingest.port>/v1/webhook]")
@click.option("--write-key", help="[default: the first source's]")
@click.option("--signing-key", help="[default: the first source's, if it has one]")
@click.option("--count", type=click.IntRange(1), help="How many events  [default: FILE's, or one of each kind]")
@click.option("--rate", type=click.FloatRange(0, min_open=True), help="Events a second  [default: as fast as they go]")
@click.option("--feeds", type=click.IntRange(1, 256), default=1, show_default=True, help="Webhooks sending at once.")
@click.option("--run", default="", help="Text in the event ids, so that a second run is no duplicate of the first.")
@click.option("--stall-s", type=float, default=3_600.0, show_default=True, help="Wait after an answer that stalls.")
@click.option("--give-up-s", type=float, default=604_800.0, show_default=True, help="Longest wait for one event.")
@parameters.json_option
@parameters.pass_settings
def command(
    settings: "Settings",
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
    """Act as Customer.io: send signed payloads and keep its rules for retries.

    FILE has one JSON payload a line; without it, sample events of every channel are sent. Like Customer.io, each
    feed sends in order, waits 4 s for an answer, tries again after a failure, and stalls for an hour (--stall-s)
    after an answer such as 401, 429 or 500. Exits 1 unless every event was acknowledged.
    """
    import time
    from concurrent.futures import ThreadPoolExecutor

    from runtime.errors import CheckFailedError, ConfigurationError
    from sternpost.local.customerio_simulator import Report, WebhookFeed

    source = settings.sources[0] if settings.sources else None
    if write_key is None:
        if source is None:
            raise ConfigurationError("no source is configured: give --write-key, or set sources")
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
    import time

    import orjson

    from sternpost.local import samples

    if file is not None:
        lines = (line.rstrip(b"\r\n") for line in file)
        yield from itertools.islice((line for line in lines if line), count)
        return
    count = count or len(samples.PAIRS)
    since = int(time.time()) - count // 10  # the last one has just occurred
    for index in range(count):
        yield orjson.dumps(samples.payload(index, run, since=since))


def _shares(bodies: Iterator[bytes], feeds: int) -> list[Iterator[bytes]]:
    """The bodies dealt out; a single feed takes them as they come, so that a long file is never held whole."""
    if feeds == 1:
        return [bodies]
    held = list(bodies)
    return [iter(held[index::feeds]) for index in range(feeds)]


def _print(report: "Report", seconds: float, as_json: bool) -> None:
    p50, p99 = report.percentile_ms(0.5), report.percentile_ms(0.99)
    if as_json:
        parameters.echo_json(
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
        click.echo(f"Customer.io would have stalled {report.stalls} times")
