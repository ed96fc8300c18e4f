"""Properties that hold for every body."""

import io
import json
from typing import Any

import fastavro
import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from schemas.customerio.event_identity import identify
from schemas.error_codes import ErrorCode, PayloadRejectedError
from schemas.track_event import load_schema, milliseconds, track_json
from tests.support.mapped import PROFILES, Json, event, outcome, shaped
from tests.support.payloads import JSON, bodies, webhooks

SCHEMA = fastavro.parse_schema(load_schema())
TIMES = ("timestamp", "originalTimestamp", "sentAt", "receivedAt")

profiles = st.sampled_from(PROFILES)


def decoded(made: Json) -> Json:
    """Return the event encoded, decoded by fastavro, and with times as milliseconds again."""
    file = io.BytesIO()
    fastavro.schemaless_writer(file, SCHEMA, made, strict_allow_default=True)
    file.seek(0)
    read: Any = fastavro.schemaless_reader(file, SCHEMA)
    assert file.read() == b""
    return {name: milliseconds(value) if name in TIMES and value is not None else value for name, value in read.items()}


def with_all_members(made: Json) -> Json:
    """Return the event with the fields of devices that are absent as null, as Avro reads them."""
    devices = made["properties"]["recipients"]
    names = ("device_id", "device_platform", "failure_message")
    filled = devices and [{**dict.fromkeys(names), **device} for device in devices]
    return {**made, "properties": {**made["properties"], "recipients": filled}}


@given(bodies(), profiles)
@example(b'{"timestamp":1e99999999999999999999,"data":{"customer_id":"1"}}', "rudderstack")
@example(b'{"data":{"customer_id":"1","headers":{"\\ud800":[]}}}', "rudderstack")
@example(b'{"data":{"customer_id":"1","recipients":[[]]}}', "corrected")
def test_any_body_has_exactly_one_outcome(body: bytes, profile: str) -> None:
    made: Json | PayloadRejectedError
    try:
        made = shaped(body, profile)
    except PayloadRejectedError as rejection:
        made = rejection
    if isinstance(made, PayloadRejectedError):
        assert made.code in set(ErrorCode) - {ErrorCode.INTERNAL_ERROR}
        assert (made.message + (made.field or "")).isprintable()
    else:
        assert (made["userId"] is None) != (made["anonymousId"] is None)
        assert (made["userId"] or made["anonymousId"]).strip()
        assert made["messageId"] == identify(body).event_id
        assert decoded(made) == with_all_members(made)
        assert orjson.loads(orjson.dumps(track_json(made))) == track_json(made)


@given(webhooks(), profiles)
def test_a_payload_of_fitting_values_is_an_event_unless_its_time_is_not(payload: Json, profile: str) -> None:
    payload["data"]["customer_id"] = "42"
    made = outcome(payload, profile)
    assert isinstance(made, dict) or made == ("invalid_timestamp", "timestamp")


@given(bodies(), profiles)
def test_mapping_is_deterministic(body: bytes, profile: str) -> None:
    assert outcome(body, profile) == outcome(body, profile)


@given(webhooks(odd=True), st.dictionaries(st.text().map("x_".__add__), JSON, max_size=3), profiles)
def test_unknown_fields_change_nothing(payload: Json, more: Json, profile: str) -> None:
    payload["event_id"] = "e"
    plain = outcome(payload, profile)
    for place in (payload, payload.get("data")):
        if isinstance(place, dict):
            place.update(more)
            assert outcome(payload, profile) == plain


@given(webhooks(odd=True))
def test_the_order_of_fields_changes_nothing_in_an_event(payload: Json) -> None:
    payload["event_id"] = "e"
    turned = json.loads(json.dumps(payload), object_pairs_hook=lambda pairs: dict(reversed(pairs)))
    one, other = outcome(payload), outcome(turned)
    assert one == other or (isinstance(one, tuple) and isinstance(other, tuple))


@given(webhooks(), profiles)
def test_what_an_avro_reader_gives_has_the_same_json(payload: Json, profile: str) -> None:
    try:
        made = shaped(payload, profile)
    except PayloadRejectedError:
        return
    file = io.BytesIO()
    fastavro.schemaless_writer(file, SCHEMA, made)
    file.seek(0)
    read: Any = fastavro.schemaless_reader(file, SCHEMA)
    assert track_json(read) == track_json(made)


@given(bodies())
def test_identify_takes_any_bytes_and_gives_text_that_a_header_can_hold(body: bytes) -> None:
    identity = identify(body)
    assert 0 < len(identity.event_id.encode()) <= max(64, len(body))
    if identity.person is not None:
        assert identity.person.strip()
        assert len(identity.person.encode()) <= len(body)


@given(webhooks(odd=True))
def test_the_profiles_differ_only_in_what_a_recipient_is_and_when_it_was_sent(payload: Json) -> None:
    data = payload.get("data")
    if isinstance(data, dict):
        data.pop("recipient", None)
    outcomes = [outcome(payload, profile) for profile in PROFILES]
    for made in outcomes:
        if isinstance(made, dict):
            made.pop("sentAt", None)
    assert outcomes[0] == outcomes[1]


@pytest.mark.parametrize("ms", [0, 1, 253_402_300_799_999])
def test_times_reach_to_the_end_of_9999(ms: int) -> None:
    made = shaped({"data": {"customer_id": "1"}, "timestamp": ms // 1000})
    assert decoded(made)["timestamp"] == ms // 1000 * 1000
    assert (
        event({"data": {"customer_id": "1"}, "timestamp": 253_402_300_799})["timestamp"] == "9999-12-31T23:59:59.000Z"
    )
