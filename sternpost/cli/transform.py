"""`sternpost transform`: the mapping on its own, to try, test and debug it."""

import time
from typing import IO, Any

import click

from schemas.record_headers import DEFAULT_SOURCE
from sternpost.cli import output


class Moment(click.ParamType[int]):
    """A time, as Unix milliseconds."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        from schemas.customerio.timestamps import occurred_ms
        from schemas.error_codes import PayloadRejectedError

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
    help="`rudderstack` maps as RudderStack documents it, `corrected` differs where that misleads.",
)
@click.option(
    "--explain", is_flag=True, help="Tell of one payload which field became which, what was left out, and why."
)
@click.option("--line", type=click.IntRange(min=1), help="With --explain: the line that holds the payload.")
@click.option("--json", "as_json", is_flag=True, help="With --explain: as JSON. Output is JSON without it.")
@click.option("--strict", is_flag=True, help="Exit 1 where a payload became a dead letter.")
@click.option(
    "--received-at",
    type=Moment(),
    help="When the payloads were received, for the same output every time.  [default: now]",
)
@click.option("--sent-at", type=Moment(), help="When the request was sent (X-CIO-Timestamp), for --profile corrected.")
@click.option(
    "--source", default=DEFAULT_SOURCE, show_default=True, help="The name of the source, for context.sourceId."
)
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
    """Map payloads: one JSON object a line in, one line of JSON out for each. No Kafka, no settings.

    FILE is - (standard input) by default. A line out is {"outcome":"event","event":{…}}, the event in RudderStack's
    form, or {"outcome":"dead_letter","code":…,"field":…,"message":…}, for an empty line too. An event without an id
    of its own takes the hash of its line for one.

    The event is what `sternpost process` writes, but for `context.origin`: its record is in no topic.

    With --explain the input is one payload, on as many lines as it likes.
    """
    from processor.pipeline.pipeline import build_pipeline, record_of
    from processor.pipeline.records import RawRecord
    from runtime.errors import CheckFailedError
    from sternpost.operations import transform

    output.silence_logs()  # a dead letter tells of a fault of ours, too

    def record(body: bytes) -> RawRecord:
        return record_of(
            body,
            received_at_ms=time.time_ns() // 1_000_000 if received_at is None else received_at,
            request_timestamp_s=None if sent_at is None else sent_at // 1000,
            source=source,
        )

    if explain:
        dead, total = transform.explain(record(_one(file, line)), profile, as_json=as_json), 1
    else:
        if line is not None:
            raise click.UsageError("--line goes with --explain")
        bodies = map(record, transform.bodies(file))
        dead, total = transform.transform(build_pipeline(profile), bodies, at_once=not transform.is_regular(file))
    if strict and dead:
        raise CheckFailedError(
            f"{dead} of {total} payload{'s' if total > 1 else ''} became dead letters; --explain says why"
        )


def _one(file: IO[bytes], line: int | None) -> bytes:
    """The payload to explain."""
    from sternpost.operations.transform import bodies, is_object

    if line is not None:
        for number, body in enumerate(bodies(file), 1):
            if number == line:
                return body
        raise click.UsageError(f"there is no line {line} in the input")
    body = file.read()
    payloads = [text for text in body.splitlines() if text.strip()]
    if len(payloads) > 1 and all(is_object(text) for text in payloads[:2]):
        raise click.UsageError(f"the input holds {len(payloads)} payloads; choose one with --line")
    return body
