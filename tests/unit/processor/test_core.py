import io
import json
from collections.abc import Sequence
from typing import Any

import fastavro
import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from processor.core import Core
from processor.identification import identify
from processor.mapping import Mapper
from processor.records import DeadLetter, Duplicate, Event, Outcome, RawRecord
from schemas.event_writer import write_event
from schemas.rejection import ErrorCode, Rejection, Stage
from schemas.track_event import load_schema
from schemas.wire_format import frame
from tests.unit.processor.raw_records import NOW_MS, payload, raw

SCHEMA = load_schema()
PARSED = fastavro.parse_schema(SCHEMA)


class Known:
    """Says which keys were seen, and keeps what it was asked."""

    def __init__(self, offsets: dict[bytes, int] | None = None) -> None:
        self.offsets = offsets or {}
        self.asked: list[bytes] = []

    def first_offsets(self, records: Sequence[RawRecord], keys: Sequence[bytes]) -> list[int | None]:
        del records
        self.asked += keys
        return [self.offsets.get(key) for key in keys]


def core(seen: Known | None = None, mapper: Any = None, encode: Any = write_event, room: int = 1_000_000) -> Core:
    return Core(seen or Known(), mapper or Mapper("rudderstack"), frame(7), encode, room)


def one(record: RawRecord, **parts: Any) -> Outcome:
    (outcome,) = core(**parts)([record])
    return outcome


class Faulty:
    def __init__(self, fault: Exception) -> None:
        self.fault = fault

    def fields(self, body: bytes, *_: object) -> dict[str, Any]:
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
    assert outcome.headers == [
        ("raw_topic", b"raw"),
        ("raw_partition", b"3"),
        ("raw_offset", b"12"),
        ("event_id", b"abc"),
    ]
    assert outcome.timestamp_ms == NOW_MS - 60_000


def test_the_trace_goes_along() -> None:
    record = raw()
    outcome = one(record._replace(headers=[*record.headers, ("traceparent", b"00-trace")]))
    assert isinstance(outcome, Event)
    assert outcome.headers[-1] == ("traceparent", b"00-trace")


def test_the_anonymous_id_is_the_key_where_there_is_no_user_id() -> None:
    body = json.dumps({"event_id": "x", "data": {"identifiers": {"cio_id": "c1"}}}).encode()
    outcome = one(raw(body=body))
    assert isinstance(outcome, Event)
    assert outcome.key == b"c1"


@pytest.mark.parametrize(
    ("occurred_s", "received_ms", "raw_ms", "expected"),
    [
        (NOW_MS // 1000 - 5, NOW_MS, NOW_MS, NOW_MS - 5000),
        (NOW_MS // 1000 + 5, NOW_MS, NOW_MS, NOW_MS),
        (None, NOW_MS, NOW_MS, NOW_MS),
        (None, NOW_MS + 9_000_000, NOW_MS, NOW_MS),
        (NOW_MS // 1000 - 5, NOW_MS, -1, NOW_MS - 5000),
        (NOW_MS // 1000 + 5, NOW_MS, -1, NOW_MS),
    ],
)
def test_an_event_is_dated_when_it_occurred_and_never_ahead(
    occurred_s: int | None, received_ms: int, raw_ms: int, expected: int
) -> None:
    record = raw(body=payload(timestamp=occurred_s), at_ms=received_ms)._replace(timestamp_ms=raw_ms)
    outcome = one(record)
    assert isinstance(outcome, Event)
    assert outcome.timestamp_ms == expected


def test_a_duplicate_is_neither_mapped_nor_encoded() -> None:
    record = raw(9)
    seen = Known({identify(record).key: 4})
    assert one(record, seen=seen, mapper=Faulty(AssertionError())) == Duplicate(4)


def test_every_record_is_asked_for_once_and_in_order() -> None:
    seen, records = Known(), [raw(offset) for offset in range(5)]
    core(seen)(records)
    assert seen.asked == [identify(record).key for record in records]


def test_a_rejection_is_its_dead_letter() -> None:
    rejection = Rejection(ErrorCode.INVALID_FIELD, "data.action_id must be whole", "data.action_id", Stage.PARSE)
    assert one(raw(), mapper=Faulty(rejection)) == DeadLetter(
        ErrorCode.INVALID_FIELD, Stage.PARSE, "data.action_id", "data.action_id must be whole"
    )


@pytest.mark.parametrize("body", [None, b"", b"\xff", b"[]", b"null", b'{"data":1}'])
def test_what_is_no_payload_is_a_dead_letter(body: bytes | None) -> None:
    record = raw()._replace(value=body)
    assert isinstance(one(record), DeadLetter)


@pytest.mark.parametrize("fault", [KeyError("secret@example.com"), RecursionError("deep"), MemoryError(), ValueError()])
def test_a_fault_of_ours_is_a_dead_letter_that_quotes_nothing(fault: Exception) -> None:
    with structlog.testing.capture_logs() as logs:
        run = core(mapper=Faulty(fault))
        outcomes = run([raw(0), raw(1)])
    for outcome in outcomes:
        assert isinstance(outcome, DeadLetter)
        assert (outcome.code, outcome.stage) == (ErrorCode.INTERNAL_ERROR, Stage.MAP)
        assert type(fault).__name__ in outcome.message
        assert "test_core.py" in outcome.message
    assert "secret" not in repr(outcomes) + repr(logs)
    assert len(logs) == 1


def test_a_fault_of_the_encoder_says_so() -> None:
    def encode(_: dict[str, Any]) -> bytes:
        raise OverflowError

    outcome = one(raw(), encode=encode)
    assert isinstance(outcome, DeadLetter)
    assert (outcome.code, outcome.stage) == (ErrorCode.INTERNAL_ERROR, Stage.ENCODE)


def test_an_event_that_does_not_fit_the_schema_is_unencodable() -> None:
    class Odd:
        def fields(self, body: bytes, *_: object) -> dict[str, Any]:
            return {"userId": "42", "timestamp": "no time"}

    outcome = one(raw(), mapper=Odd())
    assert isinstance(outcome, DeadLetter)
    assert (outcome.code, outcome.stage) == (ErrorCode.UNENCODABLE, Stage.ENCODE)


def test_an_event_larger_than_the_topic_takes_is_a_dead_letter() -> None:
    record = raw()
    event = one(record)
    assert isinstance(event, Event)
    size = len(event.key) + len(event.value) + len(b"event-0")
    assert isinstance(one(record, room=size + 512), Event)
    outcome = one(record, room=size + 511)
    assert isinstance(outcome, DeadLetter)
    assert (outcome.code, outcome.stage) == (ErrorCode.TOO_LARGE, Stage.PRODUCE)


@given(
    st.lists(
        st.builds(
            RawRecord,
            st.just("raw"),
            st.integers(0, 3),
            st.integers(0, 2**40),
            st.integers(-1, 2**45),
            st.one_of(st.none(), st.binary(max_size=8)),
            st.one_of(st.none(), st.binary(max_size=50), st.just(payload())),
            st.lists(st.tuples(st.sampled_from(["event_id", "received_at", "x"]), st.binary(max_size=20))),
        ),
        max_size=20,
    )
)
def test_any_batch_gives_one_outcome_each_and_the_same_again(records: list[RawRecord]) -> None:
    outcomes = core()(records)
    assert len(outcomes) == len(records)
    assert all(isinstance(outcome, Event | DeadLetter) for outcome in outcomes)
    assert outcomes == core()(records)
    for record, outcome in zip(records, outcomes, strict=True):
        if isinstance(outcome, Event) and record.timestamp_ms >= 0:
            assert outcome.timestamp_ms <= record.timestamp_ms
