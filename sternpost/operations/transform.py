"""Map payloads without Kafka: the outcome of each, and an explanation of one."""

import json
from collections.abc import Iterator
from typing import IO, Any, NamedTuple

import orjson

from processor.pipeline.explanation import Explanation, explain, plain
from processor.pipeline.pipeline import build_pipeline
from processor.pipeline.records import DeadLetter, RawRecord, identify
from schemas.error_codes import PayloadRejectedError
from schemas.mapping.tables import PROFILES
from schemas.track_event import EventReader, track_json
from sternpost.operations.error_help import ERROR_HELP


class Transformed(NamedTuple):
    """What a payload becomes."""

    is_dead_letter: bool
    json: bytes
    """One line of JSON, without its end."""


class Transformer:
    """The processor's pipeline, whose events come as JSON."""

    def __init__(self, profile: str) -> None:
        """`profile` is the mapping profile: `rudderstack` or `corrected`."""
        self._pipeline = build_pipeline(profile)
        self._decode = EventReader.of_newest()

    def transform(self, record: RawRecord) -> Transformed:
        """Return what the record becomes. Nothing is a duplicate."""
        outcome = self._pipeline.outcome(record, identify(record))
        if isinstance(outcome, DeadLetter):
            return Transformed(True, orjson.dumps({"outcome": "dead_letter", **_reason(outcome)}))
        return Transformed(False, orjson.dumps({"outcome": "event", "event": track_json(self._decode(outcome.value))}))


def payloads(file: IO[bytes]) -> Iterator[bytes]:
    """Yield the lines of the file without their ends, LF or CR LF."""
    for line in file:
        yield line.removesuffix(b"\n").removesuffix(b"\r")


def choose_payload(file: IO[bytes], line: int | None) -> bytes:
    """Return the payload on a line, counted from 1; without a line, the whole file as one payload.

    Raises ValueError if the line does not exist, or if the file holds several payloads and no line is given.
    """
    if line is not None:
        for number, body in enumerate(payloads(file), 1):
            if number == line:
                return body
        raise ValueError(f"there is no line {line} in the input")
    body = file.read()
    texts = [text for text in body.splitlines() if text.strip()]
    if len(texts) > 1 and all(_is_object(text) for text in texts[:2]):
        raise ValueError(f"the input holds {len(texts)} payloads; choose one with --line")
    return body


def explain_by_profile(record: RawRecord) -> dict[str, Explanation]:
    """Return what the record becomes with each profile, and why."""
    return {profile: explain(record, profile) for profile in PROFILES}


def explanation_json(explanation: Explanation) -> str:
    """Return an explanation as one line of JSON."""
    problems = [{**_reason(problem), "help": ERROR_HELP.get(problem.code)} for problem in explanation.problems]
    found: dict[str, Any]
    if problems:
        found = {"outcome": "dead_letter", **_reason(explanation.problems[0]), "problems": problems}
    else:
        found = {
            "outcome": "event",
            "event": explanation.event,
            "became": [use._asdict() for use in explanation.became],
            "left_out": [left._asdict() for left in explanation.left_out],
            "set_by_us": explanation.set_by_us,
        }
    # Not orjson: an integer that the event does not need may have any number of digits.
    return json.dumps(found, default=plain)


def _reason(why: DeadLetter | PayloadRejectedError) -> dict[str, Any]:
    return {"code": why.code, "field": why.field, "message": why.message}


def _is_object(text: bytes) -> bool:
    try:
        return isinstance(orjson.loads(text), dict)
    except orjson.JSONDecodeError:
        return False
