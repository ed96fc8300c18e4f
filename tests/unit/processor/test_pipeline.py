"""One record through the pipeline: an event, or a dead letter that quotes nothing."""

import io
import json
from typing import Any

import fastavro
import pytest
import structlog

from processor.pipeline.mapper import Mapper
from processor.pipeline.pipeline import Pipeline, build_pipeline, record_of
from processor.pipeline.records import DeadLetter, Event, RawRecord, identify
from schemas.avro import encoder
from schemas.avro.encoder import FIELDS
from schemas.error_codes import ErrorCode, PayloadRejectedError, Stage
from schemas.track_event import EventReader, load_schema
from tests.support.raw_records import NOW_MS, payload, raw

SCHEMA = load_schema()
PARSED = fastavro.parse_schema(SCHEMA)


def pipeline(mapper: Any = None, encode: Any = encoder.encode, room: int = 1_000_000) -> Pipeline:
    return Pipeline(mapper or Mapper("rudderstack"), encode, 7, room)


def one(record: RawRecord, **parts: Any) -> Event | DeadLetter:
    return pipeline(**parts).outcome(record, identify(record))


def read(event: Event | DeadLetter) -> dict[str, Any]:
    assert isinstance(event, Event)
    return EventReader.of_newest()(event.value)


class Faulty:
    def __init__(self, fault: Exception) -> None:
        self.fault = fault

    def row(self, body: bytes, *_: object) -> list[Any]:
        raise self.fault


def test_a_record_becomes_an_event() -> None:
    record = raw(12, payload("abc"), event_id="abc", partition=3)
    outcome = one(record)
    assert isinstance(outcome, Event)
    assert outcome.key == b"42"
    assert outcome.value[:5] == b"\0\0\0\0\7"
    event = fastavro.schemaless_reader(io.BytesIO(outcome.value[5:]), PARSED, None)
    assert isinstance(event, dict)
    assert event["messageId"] == "abc"
    assert event["context"]["sourceId"] == "production"
    assert event["context"]["sourceType"] == "Customer.io"
    assert event["context"]["origin"] == {"topic": "raw", "partition": 3, "offset": 12}
    assert outcome.traceparent is None


def test_the_anonymous_id_is_the_key_where_there_is_no_user_id() -> None:
    body = json.dumps({"event_id": "x", "data": {"identifiers": {"cio_id": "c1"}}}).encode()
    outcome = one(raw(body=body))
    assert isinstance(outcome, Event)
    assert outcome.key == b"c1"


def test_a_rejection_is_its_dead_letter() -> None:
    rejection = PayloadRejectedError(
        ErrorCode.INVALID_FIELD, "data.action_id must be whole", "data.action_id", Stage.PARSE
    )
    assert one(raw(), mapper=Faulty(rejection)) == DeadLetter(
        ErrorCode.INVALID_FIELD, Stage.PARSE, "data.action_id", "data.action_id must be whole"
    )


@pytest.mark.parametrize("body", [None, b"", b"\xff", b"[]", b"null", b'{"data":1}'])
def test_what_is_no_payload_is_a_dead_letter(body: bytes | None) -> None:
    record = raw().replace(value=body)
    assert isinstance(one(record), DeadLetter)


@pytest.mark.parametrize("fault", [KeyError("secret@example.com"), RecursionError("deep"), MemoryError(), ValueError()])
def test_a_fault_of_ours_is_a_dead_letter_that_quotes_nothing(fault: Exception) -> None:
    with structlog.testing.capture_logs() as logs:
        faulty = pipeline(Faulty(fault))
        outcomes = [faulty.outcome(record, identify(record)) for record in (raw(0), raw(1))]
    for outcome in outcomes:
        assert isinstance(outcome, DeadLetter)
        assert (outcome.code, outcome.stage) == (ErrorCode.INTERNAL_ERROR, Stage.MAP)
        assert type(fault).__name__ in outcome.message
        assert "test_pipeline.py" in outcome.message
    assert "secret" not in repr(outcomes) + repr(logs)
    assert len(logs) == 1


def test_a_fault_of_the_encoder_says_so() -> None:
    def encode(_: list[Any]) -> bytes:
        raise OverflowError

    outcome = one(raw(), encode=encode)
    assert isinstance(outcome, DeadLetter)
    assert (outcome.code, outcome.stage) == (ErrorCode.INTERNAL_ERROR, Stage.ENCODE)


def test_an_event_that_does_not_fit_the_schema_is_unencodable() -> None:
    class Odd:
        def row(self, body: bytes, *_: object) -> list[Any]:
            return ["42"] * len(FIELDS)

    outcome = one(raw(), mapper=Odd())
    assert isinstance(outcome, DeadLetter)
    assert (outcome.code, outcome.stage) == (ErrorCode.UNENCODABLE, Stage.ENCODE)


def test_an_event_larger_than_the_topic_takes_is_a_dead_letter() -> None:
    record = raw()
    event = one(record)
    assert isinstance(event, Event)
    size = len(event.key) + len(event.value)
    assert isinstance(one(record, room=size + 512), Event)
    outcome = one(record, room=size + 511)
    assert isinstance(outcome, DeadLetter)
    assert (outcome.code, outcome.stage) == (ErrorCode.TOO_LARGE, Stage.PRODUCE)


@pytest.mark.parametrize("trace", [b"00-trace", b"", None])
def test_the_trace_goes_along(trace: bytes | None) -> None:
    record = raw()
    outcome = one(record.replace(headers=[*record.headers, ("traceparent", trace)]))
    assert isinstance(outcome, Event)
    assert outcome.traceparent == (trace or None)


def test_a_record_that_something_else_wrote_is_of_the_default_source() -> None:
    foreign = RawRecord("raw", 1, 5, NOW_MS, None, payload(), [])
    event = read(one(foreign))
    assert event["context"]["sourceId"] == "default"
    assert event["context"]["origin"] == {"topic": "raw", "partition": 1, "offset": 5}
    assert event["receivedAt"].timestamp() * 1000 == NOW_MS


def test_a_record_dated_after_9999_makes_an_event_that_can_be_read() -> None:
    assert read(one(raw(headers=[]).replace(timestamp_ms=2**62)))["receivedAt"].year == 9999


@pytest.mark.parametrize("profile", ["rudderstack", "corrected"])
def test_a_body_in_no_topic_becomes_the_same_event_without_an_origin(profile: str) -> None:
    record = raw(at_ms=NOW_MS, source="shop")
    written = build_pipeline(profile, schema_id=7).outcome(record, identify(record))
    body = record_of(record.value or b"", received_at_ms=NOW_MS, request_timestamp_s=NOW_MS // 1000, source="shop")
    looked_at = build_pipeline(profile).outcome(body, identify(body))
    of_record, of_body = read(written), read(looked_at)
    assert of_record["context"].pop("origin") == {"topic": "raw", "partition": 0, "offset": 0}
    assert of_body["context"].pop("origin") == {"topic": None, "partition": None, "offset": None}
    of_record["messageId"] = of_body["messageId"]  # the header's, which this record has for an id of its own
    assert of_record == of_body


def test_there_are_two_profiles() -> None:
    with pytest.raises(ValueError, match="rudderstack, corrected"):
        build_pipeline("segment")
