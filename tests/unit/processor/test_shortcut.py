"""The shortcut against the long way: the same event, or none."""

import copy
import json
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from processor import shortcut
from processor.mapping import CONSTANTS
from processor.shortcut import Made, Shortcut
from schemas.avro_writer import Unencodable, Writer
from schemas.rejection import Rejection
from schemas.track_event import load_schema
from sternpost import samples
from tests.unit.processor.mapped import MAPPERS, PROFILES, RECEIVED_MS, SENT_S
from tests.unit.processor.payloads import JSON, TEXT, bodies, webhooks

SAMPLES = list(samples.one_of_each())
WRITER = Writer(load_schema(), CONSTANTS)

profiles = st.sampled_from(PROFILES)
sent = st.none() | st.just(SENT_S) | st.integers(-1, 2**40)
ANY = st.none() | st.booleans() | st.sampled_from(["", " ", "\u2003", "x", "⚓", "a@b", "+155512345", 42]) | TEXT | JSON


def the_long_way(body: bytes, profile: str, request_timestamp_s: int | None, event_id: str) -> Made | None:
    """None where the body is no event."""
    try:
        fields = MAPPERS[profile].fields(body, RECEIVED_MS, request_timestamp_s, event_id)
        key = fields.get("userId") or fields["anonymousId"]
        return key.encode(), WRITER(fields), fields["timestamp"]
    except (Rejection, Unencodable):
        return None


@st.composite
def alike(draw: st.DrawFn) -> list[bytes]:
    """Bodies with the same keys, and some other values."""
    first = draw(st.sampled_from(SAMPLES) | webhooks() | webhooks(odd=True))
    payloads = [first]
    for _ in range(draw(st.integers(1, 4))):
        other = copy.deepcopy(payloads[draw(st.integers(0, len(payloads) - 1))])
        data = other.get("data")
        objects = [other, data, data.get("identifiers") if isinstance(data, dict) else None]
        for members in objects:
            if isinstance(members, dict) and members:
                for key in draw(st.lists(st.sampled_from(sorted(members)), max_size=2)):
                    members[key] = draw(ANY)
        payloads.append(other)
    return [json.dumps(payload).encode() for payload in payloads]


def check(shapes: Shortcut, body: bytes, profile: str, request_timestamp_s: int | None, event_id: str) -> bool:
    made = shapes(body, RECEIVED_MS, request_timestamp_s, event_id)
    assert made is None or made == the_long_way(body, profile, request_timestamp_s, event_id)
    return made is not None


@settings(deadline=None)
@given(alike(), profiles, sent, st.sampled_from(["01HD", "é⚓"]))
def test_a_shortcut_leads_where_the_long_way_does(
    alike_bodies: list[bytes], profile: str, request_timestamp_s: int | None, event_id: str
) -> None:
    shapes = Shortcut(MAPPERS[profile], WRITER)
    for body in alike_bodies:
        check(shapes, body, profile, request_timestamp_s, event_id)


@settings(deadline=None)
@given(bodies(), profiles, sent)
@example(b'{"data":{"data.customer_id":"x","customer_id":"y"},"data.customer_id":"z"}', "rudderstack", 1)
@example(b'{"data.customer_id":"z","data":{"delivery_id":"y"}}', "rudderstack", 1)
@example(b'{"data":{"identifiers.id":"y","identifiers":{}},"data.identifiers.id":"z"}', "rudderstack", 1)
@example(b'{"data":{"customer_id":"x","identifiers":["id"]}}', "rudderstack", 1)
@example(b'{"data":{"customer_id":"x","identifiers":"id"}}', "rudderstack", 1)
@example(b'{"data":{"customer_id":"x","identifiers":null}}', "rudderstack", 1)
@example(b'{"data":{"customer_id":"x","identifiers":[]}}', "rudderstack", 1)
@example(b'{"data":{"customer_id":"x"},"timestamp":true}', "rudderstack", 1)
@example(b'{"data":{"customer_id":"x"},"timestamp":253402300800}', "rudderstack", 1)
@example(b'{"data":{"customer_id":"x","action_id":true}}', "rudderstack", 1)
@example(b'{"data":{"customer_id":"x","action_id":9223372036854775808}}', "rudderstack", 1)
@example(b'{"data":{"customer_id":"x","recipients":[{"failure_message":"r"}]}}', "rudderstack", 1)
@example(b'{"data":{"customer_id":"x","recipients":[],"failure_message":null}}', "rudderstack", 1)
@example(b'{"data":{"customer_id":"x","recipient":" "}}', "corrected", SENT_S)
@example(
    b'{"data":{"customer_id":"x","recipient":"+155512"},"object_type":"","object_type_type":"sms"}', "corrected", 1
)
@example(
    b'{"data":{"customer_id":"x","recipient":"155512"},"object_type":null,"object_type_type":"sms"}', "corrected", 1
)
@example(b'{"data":{"customer_id":"x","recipient":"155512"},"object_type_type":"sms"}', "corrected", SENT_S)
@example(b'{"data":{"customer_id":"x","recipient":"155512"},"object_type_type":"sms"}', "corrected", None)
@example(b'{"data":{"customer_id":" ","identifiers":{"id":"x"}}}', "rudderstack", 1)
@example(b'{"data":{"customer_id":"","identifiers":{"id":"x"}}}', "rudderstack", 1)
@example(b'{"data":{"identifiers":{"email":"a@b","cio_id":"c"}}}', "rudderstack", 1)
@example(
    b'{"data":{"delivery_id":"d"},"when received":1613063090000,"X-CIO-Timestamp":1613063090000}', "corrected", SENT_S
)
@example(
    b'{"data":{"customer_id":"x"},"when received":1613063090000,"X-CIO-Timestamp":1613063090000}', "corrected", SENT_S
)
def test_whatever_the_body_a_shortcut_gives_the_right_event_or_none(
    body: bytes, profile: str, request_timestamp_s: int | None
) -> None:
    shapes = Shortcut(MAPPERS[profile], WRITER)
    assert check(shapes, body, profile, request_timestamp_s, "01HD") == check(
        shapes, body, profile, request_timestamp_s, "01HD"
    )


def all_have_one(*bodies: bytes) -> bool:
    """Whether the same shortcut serves all bodies, one after the other."""
    shapes = Shortcut(MAPPERS["rudderstack"], WRITER)
    return all(check(shapes, body, "rudderstack", 1, "e") for body in bodies)


def test_shapes_are_told_apart_by_where_their_keys_are() -> None:
    assert all_have_one(
        b'{"data":{"customer_id":"c"},"metric":"sent"}',
        b'{"data":{"metric":"sent","customer_id":"c"}}',
        b'{"data":{"customer_id":"c","identifiers":{},"cio_id":"i"}}',
        b'{"data":{"customer_id":"c","identifiers":{"cio_id":"i"}}}',
    )


def test_nulls_are_as_good_as_absent() -> None:
    assert all_have_one(
        b'{"data":{"customer_id":"c","campaign_id":null,"action_id":5}}',
        b'{"data":{"customer_id":"c","campaign_id":7,"action_id":null}}',
        b'{"data":{"customer_id":null,"identifiers":{"id":null,"email":null,"cio_id":"c"},"content":"null"}}',
        b'{"data":{"customer_id":"c","identifiers":null},"timestamp":null,"object_type":null,"object_type_type":"sms"}',
    )


@pytest.mark.parametrize("profile", PROFILES)
def test_nearly_all_samples_have_a_shortcut(profile: str) -> None:
    """The long way would be right, and cost most of the speed, silently."""
    shapes = Shortcut(MAPPERS[profile], WRITER)
    long = []
    for payload in SAMPLES:
        if not check(shapes, json.dumps(payload).encode(), profile, SENT_S, "01HD"):
            long.append((payload["object_type"], payload["metric"]))
    assert long == [("push", "bounced"), ("push", "dropped")]


def test_what_comes_in_yet_another_shape_has_no_shortcut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shortcut, "MAX_SHAPES", 2)
    shapes = Shortcut(MAPPERS["rudderstack"], WRITER)
    made: list[Any] = []
    for name in ("a", "b", "c", "a"):
        made.append(check(shapes, json.dumps({"data": {"customer_id": "x"}, name: 1}).encode(), "rudderstack", 1, "e"))
    assert made == [True, True, False, True]


def test_no_more_is_remembered_of_a_body_with_many_keys() -> None:
    shapes = Shortcut(MAPPERS["rudderstack"], WRITER)
    for more, made in ((10, True), (10_000, False)):
        data = {"customer_id": "x"} | {f"k{index}": index for index in range(more)}
        assert check(shapes, json.dumps({"data": data}).encode(), "rudderstack", 1, "e") is made
    assert len(shapes._functions) == 1
