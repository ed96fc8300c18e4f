"""What `sternpost transform` does with payloads: the pipeline's outcomes, printed."""

import json
import os
import stat
import sys
from collections.abc import Iterable, Iterator
from typing import IO, Any

import click
import orjson

from processor.pipeline.dedup_key import identify
from processor.pipeline.explanation import explain as explanation_of
from processor.pipeline.explanation import plain
from processor.pipeline.pipeline import Pipeline
from processor.pipeline.records import DeadLetter, RawRecord
from schemas.avro.decoder import EventReader
from schemas.error_codes import PayloadRejectedError
from schemas.track_event import track_json
from sternpost.cli.explanation_view import HELP, lines


def transform(pipeline: Pipeline, records: Iterable[RawRecord], *, at_once: bool) -> tuple[int, int]:
    """Print each outcome; `at_once`, before the next record is read. Return the number of dead letters and of all."""
    out = sys.stdout.buffer
    read = EventReader.of_newest()
    dead = total = 0
    for record in records:
        outcome = pipeline.outcome(record, identify(record))
        total += 1
        if isinstance(outcome, DeadLetter):
            dead += 1
            told = {"outcome": "dead_letter", **_reason(outcome)}
        else:
            told = {"outcome": "event", "event": track_json(read(outcome.value))}
        out.write(orjson.dumps(told) + b"\n")
        if at_once:  # whoever follows a log wants each line as it comes; a file is read faster without that
            out.flush()
    out.flush()
    return dead, total


def bodies(file: IO[bytes]) -> Iterator[bytes]:
    """The lines without their ends, LF or CR LF."""
    for line in file:
        yield line.removesuffix(b"\n").removesuffix(b"\r")


def _reason(why: DeadLetter | PayloadRejectedError) -> dict[str, Any]:
    return {"code": why.code, "field": why.field, "message": why.message}


def is_object(text: bytes) -> bool:
    """Whether the text is a JSON object."""
    try:
        return isinstance(orjson.loads(text), dict)
    except orjson.JSONDecodeError:
        return False


def explain(record: RawRecord, profile: str, *, as_json: bool) -> int:
    """Print what the record becomes and why. Return the number of problems."""
    explanation, body = explanation_of(record, profile), record.value or b""
    if not as_json:
        for text in lines(explanation, body):
            click.echo(text)
        return len(explanation.problems)

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


def is_regular(file: IO[bytes]) -> bool:
    """Whether it is a file on a disk, and no pipe or terminal."""
    try:
        return stat.S_ISREG(os.fstat(file.fileno()).st_mode)
    except OSError:
        return False
