"""`sternpost transform`: the mapping on its own, to try, test and debug it."""

import os
import stat
import sys
import time
from collections.abc import Iterator
from typing import IO, Any

import click


class Moment(click.ParamType[int]):
    """A time, as Unix milliseconds."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        from schemas.rejection import Rejection
        from schemas.timestamps import occurred_ms

        try:
            moment = value if isinstance(value, int) else occurred_ms(value, "it")
        except Rejection as rejection:
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
def command(
    file: IO[bytes],
    profile: str,
    explain: bool,
    line: int | None,
    as_json: bool,
    strict: bool,
    received_at: int | None,
    sent_at: int | None,
) -> None:
    """Map payloads: one JSON object a line in, one line of JSON out for each. No Kafka, no settings.

    FILE is - (standard input) by default. A line out is {"outcome":"event","event":{…}}, the event in RudderStack's
    form, or {"outcome":"dead_letter","code":…,"field":…,"message":…}, for an empty line too. An event without an id
    of its own takes the hash of its line for one.

    With --explain the input is one payload, on as many lines as it likes.
    """
    from processor.mapping import Mapper

    mapper = Mapper(profile)
    sent_s = None if sent_at is None else sent_at // 1000
    if explain:
        dead = _explain(mapper, _one(file, line), _now_ms() if received_at is None else received_at, sent_s, as_json)
        total = 1
    else:
        if line is not None:
            raise click.UsageError("--line goes with --explain")
        dead, total = _transform(mapper, file, received_at, sent_s)
    if strict and dead:
        from runtime.errors import CheckFailed

        raise CheckFailed(
            f"{dead} of {total} payload{'s' if total > 1 else ''} became dead letters; --explain says why"
        )


def _transform(mapper: Any, file: IO[bytes], received_at: int | None, sent_s: int | None) -> tuple[int, int]:
    """Dead letters, and payloads in all."""
    import orjson

    out = sys.stdout.buffer
    # Whoever follows a log wants each line at once; a file is read faster with none of that.
    at_once = not _is_regular(file)
    dead = total = 0
    for body in _bodies(file):
        outcome = _outcome(mapper, body, _now_ms() if received_at is None else received_at, sent_s)
        total += 1
        dead += outcome["outcome"] != "event"
        out.write(orjson.dumps(outcome) + b"\n")
        if at_once:
            out.flush()
    out.flush()
    return dead, total


def _bodies(file: IO[bytes]) -> Iterator[bytes]:
    """The lines without their ends, LF or CR LF."""
    for line in file:
        yield line.removesuffix(b"\n").removesuffix(b"\r")


def _outcome(mapper: Any, body: bytes, received_at: int, sent_s: int | None) -> dict[str, Any]:
    from schemas.identity import identify
    from schemas.rejection import ErrorCode, Rejection
    from schemas.track_event import track_json

    try:
        event = mapper.map(
            body, received_at_ms=received_at, request_timestamp_s=sent_s, event_id=identify(body).event_id
        )
    except Rejection as rejection:
        return {"outcome": "dead_letter", **_reason(rejection)}
    except Exception as error:
        message = f"{type(error).__name__} in the mapping: a fault of Sternpost"
        return {"outcome": "dead_letter", **_reason(Rejection(ErrorCode.INTERNAL_ERROR, message))}
    return {"outcome": "event", "event": track_json(event)}


def _reason(rejection: Any) -> dict[str, Any]:
    return {"code": rejection.code, "field": rejection.field, "message": rejection.message}


def _one(file: IO[bytes], line: int | None) -> bytes:
    """The payload to explain."""
    if line is not None:
        for number, body in enumerate(_bodies(file), 1):
            if number == line:
                return body
        raise click.UsageError(f"there is no line {line} in the input")
    body = file.read()
    payloads = [text for text in body.splitlines() if text.strip()]
    if len(payloads) > 1 and all(_is_object(text) for text in payloads[:2]):
        raise click.UsageError(f"the input holds {len(payloads)} payloads; choose one with --line")
    return body


def _is_object(text: bytes) -> bool:
    import orjson

    try:
        return isinstance(orjson.loads(text), dict)
    except orjson.JSONDecodeError:
        return False


def _explain(mapper: Any, body: bytes, received_at: int, sent_s: int | None, as_json: bool) -> int:
    from processor.explanation import explain, plain
    from sternpost.explanation_text import HELP, lines

    explanation = explain(mapper, body, received_at_ms=received_at, request_timestamp_s=sent_s)
    if not as_json:
        for text in lines(explanation, body):
            click.echo(text)
        return len(explanation.problems)

    import json

    problems = [{**_reason(p), "help": HELP.get(p.code)} for p in explanation.problems]
    told = (
        {"outcome": "dead_letter", **_reason(explanation.problems[0]), "problems": problems}
        if problems
        else {
            "outcome": "event",
            "event": explanation.event,
            "became": [use._asdict() for use in explanation.became],
            "left_out": [left._asdict() for left in explanation.left_out],
            "set_by_us": explanation.set_by_us,
        }
    )
    # An integer that the event does not need may have any number of digits, which the fast writer does not take.
    click.echo(json.dumps(told, default=plain))
    return len(problems)


def _is_regular(file: IO[bytes]) -> bool:
    try:
        return stat.S_ISREG(os.fstat(file.fileno()).st_mode)
    except OSError:
        return False


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
