"""The nine faults of the reference implementation that must not be repeated, in either profile."""

import hashlib
from typing import Any

import pytest

from schemas.error_codes import PayloadRejectedError
from tests.support.mapped import PROFILES, RECEIVED, SENT, event, refused, webhook

pytestmark = pytest.mark.parametrize("profile", PROFILES)


@pytest.mark.parametrize(
    ("timestamp", "occurred"),
    [
        (0, "1970-01-01T00:00:00.000Z"),
        (1613063089, "2021-02-11T17:04:49.000Z"),
        (1613063089.123, "2021-02-11T17:04:49.123Z"),
        ("1613063089", "2021-02-11T17:04:49.000Z"),
        ("2021-02-11T17:04:49Z", "2021-02-11T17:04:49.000Z"),
        (253402300799, "9999-12-31T23:59:59.000Z"),
    ],
)
def test_1_seconds_digits_and_iso_are_read_as_a_time(timestamp: object, occurred: str, profile: str) -> None:
    made = event(webhook() | {"timestamp": timestamp}, profile)
    assert (made["timestamp"], made["originalTimestamp"]) == (occurred, occurred)


@pytest.mark.parametrize("timestamp", ["abc", "", " ", "1613063089.5", "tomorrow", None])
def test_1_an_unreadable_text_and_null_leave_the_time_out(timestamp: object, profile: str) -> None:
    payload = webhook() | {"timestamp": timestamp}
    made = event(payload, profile, request_timestamp_s=None)
    assert made["timestamp"] == RECEIVED
    assert "originalTimestamp" not in made
    assert "sentAt" not in made


def test_1_an_absent_timestamp_leaves_the_time_out(profile: str) -> None:
    payload = webhook()
    del payload["timestamp"]
    made = event(payload, profile, request_timestamp_s=None)
    assert (made["timestamp"], "originalTimestamp" in made, "sentAt" in made) == (RECEIVED, False, False)


@pytest.mark.parametrize(
    "timestamp",
    [
        *({}, [], [1613063089], {"s": 1}, True, False, -1, -0.5, 1e300),
        *(1613063089000, 1613063089000000, 253402300800, "1613063089000", "1969-12-31T23:59:59Z"),
    ],
)
def test_1_any_other_type_and_any_other_age_is_an_invalid_timestamp(timestamp: object, profile: str) -> None:
    assert refused(webhook() | {"timestamp": timestamp}, profile) == ("invalid_timestamp", "timestamp")


def test_1_a_number_as_object_type_is_an_unknown_event(profile: str) -> None:
    made = event(webhook() | {"object_type": 5}, profile)
    assert (made["event"], made["properties"]["objectType"]) == ("Unknown Event", "5")


@pytest.mark.parametrize("object_type", [{}, [], ["email"], True, 1.5])
def test_1_an_object_type_that_is_no_text_is_a_dead_letter(object_type: object, profile: str) -> None:
    assert refused(webhook() | {"object_type": object_type}, profile) == ("invalid_field", "object_type")


def test_1_a_null_body_is_a_dead_letter(profile: str) -> None:
    assert refused(b"null", profile) == ("not_an_object", None)


def test_2_timestamp_says_when_it_occurred(profile: str) -> None:
    made = event(webhook(), profile)
    assert made["timestamp"] == "2021-02-11T17:04:49.000Z" != made["receivedAt"]


@pytest.mark.parametrize("blank", ["", " ", "\t\n", "\u00a0"])
def test_3_a_blank_customer_id_blocks_nothing(blank: str, profile: str) -> None:
    by_id = webhook(identifiers={"id": "7"}) | {}
    by_id["data"]["customer_id"] = blank
    assert event(by_id, profile)["userId"] == "7"
    by_email = webhook(recipient="test@example.com", identifiers={"id": blank})
    by_email["data"]["customer_id"] = blank
    assert event(by_email, profile)["anonymousId"] == "test@example.com"


@pytest.mark.parametrize("blank", ["", "  ", None])
def test_3_blank_identities_are_absent_everywhere(blank: str | None, profile: str) -> None:
    payload = webhook(
        recipient=blank, email_address=blank, event_id=blank, identifiers={"id": blank, "email": blank, "cio_id": blank}
    ) | {"event_id": blank}
    made = event(payload, profile)
    assert made["userId"] == "42"
    assert "traits" not in made["context"]
    assert "eventId" not in made["properties"]
    payload["data"]["customer_id"] = blank
    assert refused(payload, profile) == ("missing_identity", "data.identifiers")


def test_4_a_person_known_only_by_cio_id_is_anonymous_by_it(profile: str) -> None:
    made = event({"data": {"identifiers": {"id": None, "email": None, "cio_id": "d9c1"}}}, profile)
    assert made["anonymousId"] == "d9c1"
    assert "userId" not in made
    assert made["context"]["traits"] == {"cioId": "d9c1"}


@pytest.mark.parametrize("payload", [{}, {"data": None}, {"data": {}}, {"data": {"identifiers": {}}}])
def test_4_with_nobody_named_it_is_missing_identity(payload: dict[str, Any], profile: str) -> None:
    assert refused(payload, profile) == ("missing_identity", "data.identifiers")


def test_5_the_first_devices_failure_is_the_reason(profile: str) -> None:
    devices = [{"device_id": "a", "failure_message": "first"}, {"device_id": "b", "failure_message": "second"}]
    made = event(webhook("push", "bounced", recipients=devices), profile)
    assert made["properties"]["reason"] == "first"
    assert made["properties"]["recipients"] == devices


def test_5_the_messages_own_failure_comes_first(profile: str) -> None:
    made = event(
        webhook("push", "failed", failure_message="own", recipients=[{"failure_message": "device's"}]), profile
    )
    assert made["properties"]["reason"] == "own"


@pytest.mark.parametrize("devices", [[], [{}], [{"failure_message": None}], [{}, {"failure_message": "second"}]])
def test_5_where_the_first_device_did_not_fail_there_is_no_reason(devices: list[Any], profile: str) -> None:
    assert "reason" not in event(webhook("push", "bounced", recipients=devices), profile)["properties"]


def test_6_the_message_id_is_the_event_id(profile: str) -> None:
    assert event(webhook(), profile)["messageId"] == "01E4C4CT6YDC7Y5M7FE1GWWPQJ"
    inner = webhook(event_id="inner")
    del inner["event_id"]
    assert event(inner, profile)["messageId"] == "inner"


def test_6_without_an_event_id_it_is_the_hash_of_the_body(profile: str) -> None:
    body = b'{"data":{"customer_id":"42"}}'
    assert event(body, profile)["messageId"] == hashlib.sha256(body).hexdigest()
    assert event(body, profile) == event(body, profile)


@pytest.mark.parametrize("name", ["constructor", "__proto__", "toString", "hasOwnProperty", "__class__"])
def test_7_names_that_every_object_has_are_unknown_events(name: str, profile: str) -> None:
    assert event(webhook(name, "sent"), profile)["event"] == "Unknown Event"
    assert event(webhook("email", name), profile)["event"] == "Unknown Event"


@pytest.mark.parametrize("body", [b"5", b'"foo"', b"true", b"false", b"null", b"[]", b"[{}]", b"1.5", b"1e400"])
def test_8_a_body_that_is_no_object_is_a_dead_letter(body: bytes, profile: str) -> None:
    assert refused(body, profile) == ("not_an_object", None)


@pytest.mark.parametrize("number", [2**53 + 1, 2**63 - 1, -(2**63), -(2**53) - 1])
def test_9_integers_of_64_bits_are_exact(number: int, profile: str) -> None:
    made = event(webhook(action_id=number, link_id=number), profile)
    assert made["properties"]["actionId"] == number
    assert made["properties"]["link"] == {"id": number}


@pytest.mark.parametrize("number", [2**63, -(2**63) - 1, 2**64 - 1, 2**64, 10**400, 10**4000])
def test_9_integers_beyond_64_bits_are_a_dead_letter(number: int, profile: str) -> None:
    assert refused(webhook(action_id=number), profile) == ("invalid_field", "data.action_id")


def test_the_profiles_differ_in_sent_at(profile: str) -> None:
    assert event(webhook(), profile)["sentAt"] == ("2021-02-11T17:04:49.000Z" if profile == "rudderstack" else SENT)
    unknown = event(webhook(), profile, request_timestamp_s=None)
    assert ("sentAt" in unknown) == (profile == "rudderstack")


@pytest.mark.parametrize("seconds", [-1, 253402300800])
def test_a_request_time_out_of_range_is_left_out(seconds: int, profile: str) -> None:
    made = event(webhook(), profile, request_timestamp_s=seconds)
    assert made.get("sentAt") == ("2021-02-11T17:04:49.000Z" if profile == "rudderstack" else None)


def test_a_rejection_says_nothing_of_the_value(profile: str) -> None:
    with pytest.raises(PayloadRejectedError) as caught:
        event(webhook(action_id="private@example.com"), profile)
    assert "private" not in caught.value.message
