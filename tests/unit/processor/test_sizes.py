"""Accepted bodies fit into every topic: the bounds of `runtime.kafka.config.record_limits` against real records."""

import json
from functools import lru_cache
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from processor.pipeline.pipeline import build_pipeline
from processor.pipeline.records import DeadLetter, RawRecord, identify
from processor.transaction_sink import dead_letter_headers
from runtime.kafka.config import EVENT_EXPANSION, HEADROOM_BYTES, RAW_EXPANSION, record_limits
from runtime.settings.loader import load
from schemas.customerio.event_identity import identify as identify_body
from tests.support.mapped import PROFILES
from tests.support.nested_paths import put
from tests.support.payloads import SOURCES, bodies, webhooks

AROUND_BYTES = 4_096
"""More than what a record holds beside its body (names of fields, constants, numbers); far less than the headroom."""

LONG = 50_000
PIPELINES = {profile: build_pipeline(profile) for profile in PROFILES}

Headers = list[tuple[str, bytes | None]]


@lru_cache(maxsize=1)
def raw_record(body: bytes) -> RawRecord:
    """Return a record as ingest writes it."""
    identity = identify_body(body)
    headers: Headers = [("source", b"s"), ("event_id", identity.event_id.encode())]
    key = None if identity.person is None else identity.person.encode()
    return RawRecord("raw", 0, 0, 0, key, body, headers)


def size(key: bytes | None, value: bytes | None, headers: Headers) -> int:
    return len(key or b"") + len(value or b"") + sum(len(name) + len(held or b"") for name, held in headers)


def check(body: bytes, profile: str) -> float:
    """Return the event's size divided by its body's, or 0 for a dead letter."""
    record = raw_record(body)
    raw_bytes = size(record.key, record.value, record.headers)
    assert raw_bytes <= RAW_EXPANSION * len(body) + AROUND_BYTES
    outcome = PIPELINES[profile].outcome(record, identify(record))
    if isinstance(outcome, DeadLetter):
        letter_bytes = size(record.key, record.value, dead_letter_headers(record, outcome))
        assert letter_bytes <= raw_bytes + AROUND_BYTES
        return 0
    event_bytes = size(outcome.key, outcome.value, [])
    assert event_bytes <= EVENT_EXPANSION * len(body) + AROUND_BYTES
    return event_bytes / len(body)


def longer(value: Any, times: int) -> Any:
    """Return the JSON value with each text, and each name that is data, repeated."""
    match value:
        case str():
            return value * times
        case list():
            return [longer(item, times) for item in value]
        case dict():
            return {name if name in KNOWN_NAMES else name * times: longer(item, times) for name, item in value.items()}
    return value


KNOWN_NAMES = {part for source in SOURCES for part in source.split(".")} | {
    *("data", "identifiers", "recipients", "device_id", "device_platform", "failure_message")
}


@given(bodies(), st.sampled_from(PROFILES))
def test_any_body_fits(body: bytes, profile: str) -> None:
    check(body, profile)


@given(webhooks(odd=True) | webhooks(), st.sampled_from(PROFILES), st.booleans())
@example({"data": {"recipient": "é@⚓"}}, "rudderstack", False)
@example({"data": {"recipient": "é@⚓"}}, "corrected", True)
@example(
    {"data": {"identifiers": {"id": "⚓", "email": "x"}, "recipients": {"failure_message": "é"}}}, "corrected", False
)
def test_a_body_of_long_texts_fits(payload: Any, profile: str, escaped: bool) -> None:
    body = json.dumps(longer(payload, 2_000), ensure_ascii=escaped).encode("utf-8", "surrogatepass")
    check(body, profile)


@pytest.mark.parametrize("character", ["a", "é", "⚓", "\U0001f6a2", "\0", '"', "7"])
@pytest.mark.parametrize("escaped", [True, False])
@pytest.mark.parametrize("known", [{}, {"customer_id": "42"}, {"identifiers": {"cio_id": "c"}}])
def test_wherever_a_long_text_is_the_event_fits(character: str, escaped: bool, known: dict[str, Any]) -> None:
    for source in SOURCES:
        payload: dict[str, Any] = {"data": json.loads(json.dumps(known))}
        put(payload, source, character * LONG)
        body = json.dumps(payload, ensure_ascii=escaped).encode()
        for profile in PROFILES:
            check(body, profile)


def test_the_bounds_are_no_larger_than_they_must_be() -> None:
    email = json.dumps({"data": {"identifiers": {"email": "a" * LONG}}}).encode()
    assert check(email, "rudderstack") > EVENT_EXPANSION - 0.1
    parts = json.dumps({"event_id": "e" * LONG, "data": {"customer_id": "a" * LONG}}).encode()
    record = raw_record(parts)
    assert size(record.key, record.value, record.headers) / len(parts) > RAW_EXPANSION - 0.1


def test_managed_clusters_take_the_largest_records_there_can_be_by_default() -> None:
    """8 MiB: https://docs.aws.amazon.com/msk/latest/developerguide/serverless-config.html"""
    assert max(record_limits(load(None, {}))) < 8_388_608
    assert HEADROOM_BYTES > 4 * AROUND_BYTES
