"""The event id and the person of any body."""

import hashlib
import json
from typing import Any

import pytest

from schemas.customerio.event_identity import Identity, identify

ALL: dict[str, Any] = {
    "event_id": "outer",
    "data": {
        "event_id": "inner",
        "customer_id": "customer",
        "email_address": "address@example.com",
        "recipient": "recipient@example.com",
        "identifiers": {"id": "id", "email": "email@example.com", "cio_id": "cio"},
    },
}
ORDER = [
    ("identifiers", "cio_id", "cio"),
    ("identifiers", "id", "id"),
    ("data", "customer_id", "customer"),
    ("identifiers", "email", "email@example.com"),
    ("data", "recipient", "recipient@example.com"),
    ("data", "email_address", "address@example.com"),
]


@pytest.mark.parametrize("nothing", [None, "", " ", True, 1.5, [], {}, "\ud800"])
def test_the_person_is_the_first_of_the_names_that_is_one(nothing: object) -> None:
    payload = json.loads(json.dumps(ALL))
    for place, name, value in ORDER:
        assert identify(json.dumps(payload).encode()) == Identity("outer", value)
        holder = payload["data"]["identifiers"] if place == "identifiers" else payload["data"]
        holder[name] = nothing
    assert identify(json.dumps(payload).encode()) == Identity("outer", None)


@pytest.mark.parametrize("recipient", ["+15551234567", "#channel", "https://user@host/", "an id"])
def test_a_recipient_that_is_no_email_is_nobody(recipient: str) -> None:
    assert identify(json.dumps({"data": {"recipient": recipient}}).encode()).person is None


@pytest.mark.parametrize("nothing", [None, "", " ", True, 1.5, [], {}, "\ud800"])
def test_the_event_id_is_the_outer_then_the_inner_then_the_hash(nothing: object) -> None:
    assert identify(json.dumps(ALL).encode()).event_id == "outer"
    inner = json.dumps(ALL | {"event_id": nothing}).encode()
    assert identify(inner).event_id == "inner"
    neither = json.dumps({"event_id": nothing, "data": {"event_id": nothing}}).encode()
    assert identify(neither).event_id == hashlib.sha256(neither).hexdigest()


def test_integers_are_their_digits_of_any_size() -> None:
    body = b'{"event_id":123456789012345678901234567890,"data":{"customer_id":7}}'
    assert identify(body) == Identity("123456789012345678901234567890", "7")


@pytest.mark.parametrize(
    "body",
    [b"", b"\xff", b"null", b"5", b"[]", b"{", b"[" * 10_000, b'{"data":5}', b'{"data":{"identifiers":[]}}', b"NaN"],
)
def test_a_body_that_names_nothing_is_its_hash_and_nobody(body: bytes) -> None:
    assert identify(body) == Identity(hashlib.sha256(body).hexdigest(), None)


def test_the_same_payload_written_otherwise_has_another_hash() -> None:
    assert identify(b'{"a":1}').event_id != identify(b'{"a": 1}').event_id
