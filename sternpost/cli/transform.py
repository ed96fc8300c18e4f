"""`sternpost transform`: the mapping on its own, to try, test and debug it."""

import os
import stat
import sys
import time
from typing import IO, Any

import click

from processor.pipeline.explanation import explain as explain_record
from processor.pipeline.pipeline import record_of
from processor.pipeline.records import RawRecord
from runtime.errors import CheckFailedError
from schemas.customerio.lossless_json import occurred_ms
from schemas.error_codes import PayloadRejectedError
from schemas.record_headers import DEFAULT_SOURCE
from sternpost.cli import explanation_view, output
from sternpost.operations.transform import Transformer, choose_payload, explanation_json, payloads


class Time(click.ParamType[int]):
    """A time, as Unix milliseconds."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Parse the value; a wrong one is a usage error."""
        try:
            moment = value if isinstance(value, int) else occurred_ms(value, "it")
        except PayloadRejectedError as rejection:
            self.fail(rejection.message, param, ctx)
        if moment is None:
            self.fail("give ISO-8601 such as 2026-01-31T12:00:00Z, or seconds since 1970", param, ctx)
        return moment


@click.command()
@click.argument("file", type=click.File("rb"), default="-")
@click.option(
    "--profile",
    type=click.Choice(["rudderstack", "corrected"]),
    default="rudderstack",
    show_default=True,
    help="`rudderstack` maps as RudderStack documents; `corrected` differs where that is misleading.",
)
@click.option(
    "--explain", is_flag=True, help="For one payload, show which field became which, what was left out, and why."
)
@click.option("--line", type=click.IntRange(min=1), help="With --explain: number of the line that holds the payload.")
@click.option(
    "--json", "as_json", is_flag=True, help="With --explain: print JSON. Without --explain, output is always JSON."
)
@click.option("--strict", is_flag=True, help="Exit 1 if a payload becomes a dead letter.")
@click.option(
    "--received-at",
    type=Time(),
    help="Time at which the payloads were received; fix it to get the same output every time.  [default: now]",
)
@click.option(
    "--sent-at", type=Time(), help="Time at which the request was sent (X-CIO-Timestamp), for --profile corrected."
)
@click.option("--source", default=DEFAULT_SOURCE, show_default=True, help="Name of the source, for context.sourceId.")
def command(
    file: IO[bytes],
    profile: str,
    explain: bool,
    line: int | None,
    as_json: bool,
    strict: bool,
    received_at: int | None,
    sent_at: int | None,
    source: str,
) -> None:
    """Map payloads, one JSON object per line, and print one line of JSON for each.

    This needs neither Kafka nor settings. FILE is - (standard input) by default. A printed line is
    {"outcome":"event","event":{…}}, the event in RudderStack's form, or
    {"outcome":"dead_letter","code":…,"field":…,"message":…}, also for an empty line. The id of an event that has
    none is the hash of its line.

    The event is the one that `sternpost process` writes, without `context.origin`: its record is not in a topic.

    With --explain the input is one payload, on any number of lines.
    """
    output.silence_logs()  # a dead letter reports an internal error too

    def record(body: bytes) -> RawRecord:
        return record_of(
            body,
            received_at_ms=time.time_ns() // 1_000_000 if received_at is None else received_at,
            request_timestamp_s=None if sent_at is None else sent_at // 1000,
            source=source,
        )

    if explain:
        try:
            body = choose_payload(file, line)
        except ValueError as error:
            raise click.UsageError(str(error)) from None
        dead, total = _explain(record(body), profile, as_json=as_json), 1
    elif line is not None:
        raise click.UsageError("--line goes with --explain")
    else:
        transformer, out, each_at_once = Transformer(profile), sys.stdout.buffer, not _is_regular(file)
        dead = total = 0
        for body in payloads(file):
            transformed = transformer.transform(record(body))
            dead += transformed.is_dead_letter
            total += 1
            out.write(transformed.json + b"\n")
            if each_at_once:  # a reader of a log that grows wants each line as it comes; a file is faster without
                out.flush()
        out.flush()
    if strict and dead:
        raise CheckFailedError(
            f"{dead} of {total} payload{'s' if total > 1 else ''} became dead letters; --explain says why"
        )


def _explain(record: RawRecord, profile: str, *, as_json: bool) -> int:
    """Print what the record becomes and why, and return the number of problems."""
    explanation = explain_record(record, profile)
    if as_json:
        click.echo(explanation_json(explanation))
    else:
        for text in explanation_view.lines(explanation, record.value or b""):
            click.echo(text)
    return len(explanation.problems)


def _is_regular(file: IO[bytes]) -> bool:
    """Return whether it is a file on a disk, and not a pipe or a terminal."""
    try:
        return stat.S_ISREG(os.fstat(file.fileno()).st_mode)
    except OSError:
        return False
