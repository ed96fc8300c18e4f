"""Which records are a person's."""

import json
from typing import Any

import pytest

from sternpost.operations import people
from sternpost.operations.people import IN_BODIES, Person, match


class Record:
    """What `match` reads of a message."""

    def __init__(self, value: bytes | None, key: bytes | None = None) -> None:
        self._value, self._key = value, key

    def value(self) -> bytes | None:
        return self._value

    def key(self) -> bytes | None:
        return self._key

    def partition(self) -> int:
        return 3

    def offset(self) -> int:
        return 42

    def timestamp(self) -> tuple[int, int]:
        return (1, 1_700_000_000_000)


def matched(identifier: str, value: bytes | None, key: bytes | None = None) -> tuple[str, ...]:
    record: Any = Record(value, key)
    found = match("t", record, Person([identifier]), people._body, IN_BODIES)
    return found.matched if found else ()


def body(**data: object) -> bytes:
    return json.dumps({"event_id": "e", "data": data}).encode()


@pytest.mark.parametrize(
    ("identifier", "data", "expected"),
    [
        ("42", {"customer_id": "42"}, ("data.customer_id",)),
        ("42", {"customer_id": 42}, ("data.customer_id",)),
        ("42", {"action_id": 42}, ()),
        ("42", {"customer_id": "421"}, ()),
        ("true", {"customer_id": True}, ()),
        ("d9c1", {"identifiers": {"cio_id": "d9c1", "id": None}}, ("data.identifiers.cio_id",)),
        ("Ann@Example.com", {"identifiers": {"email": "ann@example.COM"}}, ("data.identifiers.email",)),
        ("ann@example.com", {"recipient": "ann@example.com", "subject": "Hello Ann"}, ("data.recipient",)),
        ("+15550001", {"to": "+15550001"}, ("data.to",)),
        ("dev-1", {"recipients": [{"device_id": "dev-0"}, {"device_id": "dev-1"}]}, ("data.recipients.device_id",)),
        ("USER-1", {"customer_id": "user-1"}, ()),
        ("é@x.org", {"email_address": "é@x.org"}, ("data.email_address",)),
    ],
)
def test_a_body_is_a_persons_if_a_field_names_the_person(
    identifier: str, data: dict[str, object], expected: tuple[str, ...]
) -> None:
    assert matched(identifier, body(**data)) == expected


def test_a_key_names_a_person_even_if_nothing_can_be_read() -> None:
    assert matched("42", body(), b"42") == ("key",)
    assert matched("42", None, b"42") == ("key",)  # a note of a redrive
    assert matched("42", None) == ()


@pytest.mark.parametrize("value", [b'{"data":{"to":"Ann@example.com"', b'["ann@EXAMPLE.com"]', b"\xff ann@example.com"])
def test_what_cannot_be_parsed_is_searched_as_text(value: bytes) -> None:
    assert matched("ann@example.com", value) == ("text",)
    assert matched("bob@example.com", value) == ()


def test_a_place_holds_no_data_of_the_person_unless_asked() -> None:
    record: Any = Record(body(customer_id="42", recipient="ann@example.com"), b"42")
    found = match("t", record, Person(["42"]), people._body, IN_BODIES)
    assert found is not None
    place = found.as_json(with_value=False)
    assert place == {
        "topic": "t",
        "partition": 3,
        "offset": 42,
        "timestamp": "2023-11-14T22:13:20.000Z",
        "matched": ["key", "data.customer_id"],
    }
    assert "value" in found.as_json(with_value=True)


@pytest.mark.parametrize("identifiers", [[], [""], ["a", " "]])
def test_an_empty_identifier_is_refused(identifiers: list[str]) -> None:
    with pytest.raises(ValueError, match="empty"):
        Person(identifiers)
