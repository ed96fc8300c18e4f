"""The difference of the profile `corrected`: a recipient that is not an email address."""

import pytest

from tests.support.mapped import event, refused, webhook

PHONES = [
    ("sms", "+15551234567"),
    ("sms", "15551234567"),
    ("SMS", "15551234567"),
    ("whatsapp", "+44 20 7946 0958"),
    ("sms", "(555) 123-4567"),
    ("in_app", "+15551234567"),
    ("fax", "+15551234567"),
]
OTHERS = [
    ("slack", "#channel"),
    ("slack", "@someone"),
    ("webhook", "https://hooks.example.com/in"),
    ("webhook", "https://user@hooks.example.com/in"),
    ("in_app", "0200102"),
    ("in_app", "user-7"),
    ("email", "not an address"),
    ("email", "a@b@c"),
    ("sms", "SHOP"),
    ("email", "15551234567"),
]
EMAILS = [
    ("email", "test@example.com"),
    ("in_app", "test@example.com"),
    ("email", "o'neil+tag@sub.example.co.uk"),
    ("email", "ünï@exämple.com"),
    ("sms", "test@example.com"),
]


@pytest.mark.parametrize(("object_type", "recipient"), PHONES)
def test_a_phone_number_is_a_phone(object_type: str, recipient: str) -> None:
    made = event(webhook(object_type, recipient=recipient), "corrected")
    assert made["context"]["traits"] == {"phone": recipient}
    assert "recipient" not in made["properties"]


@pytest.mark.parametrize(("object_type", "recipient"), OTHERS)
def test_what_is_neither_email_nor_phone_is_a_recipient(object_type: str, recipient: str) -> None:
    made = event(webhook(object_type, recipient=recipient), "corrected")
    assert "traits" not in made["context"]
    assert made["properties"]["recipient"] == recipient


@pytest.mark.parametrize(("object_type", "recipient"), EMAILS)
def test_an_email_address_is_the_email(object_type: str, recipient: str) -> None:
    made = event(webhook(object_type, recipient=recipient), "corrected")
    assert made["context"]["traits"] == {"email": recipient}
    assert "recipient" not in made["properties"]


@pytest.mark.parametrize(("object_type", "recipient"), PHONES + OTHERS + EMAILS)
def test_by_rudderstack_each_of_them_is_the_email(object_type: str, recipient: str) -> None:
    made = event(webhook(object_type, recipient=recipient))
    assert made["context"]["traits"] == {"email": recipient}
    assert "recipient" not in made["properties"]


def test_a_phone_stands_beside_the_email_and_gives_way_to_the_email_address() -> None:
    made = event(webhook("sms", recipient="+15551234567", email_address="test@example.com"), "corrected")
    assert made["context"]["traits"] == {"phone": "+15551234567", "email": "test@example.com"}
    made = event(webhook("sms", recipient="+15551234567", email_address="test@example.com"))
    assert made["context"]["traits"] == {"email": "+15551234567"}


def test_a_phone_names_nobody() -> None:
    payload = webhook("sms", recipient="+15551234567", customer_id="")
    assert refused(payload, "corrected") == ("missing_identity", "data.identifiers")
    assert event(payload)["anonymousId"] == "+15551234567"
