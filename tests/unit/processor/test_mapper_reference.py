"""Every row of every table of RudderStack's documentation and observed behaviour, on every pair, by both profiles."""

import json

import pytest

from tests.support import rudderstack_reference
from tests.support.mapped import PROFILES, RECEIVED, SENT, Json, event, webhook
from tests.support.nested_paths import at, put

PAIRS = [
    (object_type, metric)
    for object_type in rudderstack_reference.OBJECT_TYPES
    for metric in rudderstack_reference.METRICS
]


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize(("object_type", "metric"), PAIRS)
def test_every_pair_has_the_name_that_the_reference_gives_it(object_type: str, metric: str, profile: str) -> None:
    made = event(webhook(object_type, metric), profile)
    assert made["event"] == rudderstack_reference.name(object_type, metric)
    assert made["properties"]["objectType"] == object_type
    assert made["properties"]["metric"] == metric


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize(
    ("object_type", "metric"),
    [
        ("fax", "sent"),
        ("email", "Sent"),
        ("email", "sent "),
        (" email", "sent"),
        ("email", ""),
        ("", "sent"),
        ("*", "sent"),
        ("email", "*"),
        ("constructor", "sent"),
        ("__proto__", "toString"),
        ("email", "constructor"),
        ("sms", "opened"),
        ("slack", "delivered"),
        ("customer", "sent"),
    ],
)
def test_an_unknown_pair_is_an_unknown_event(object_type: str, metric: str, profile: str) -> None:
    made = event(webhook(object_type, metric), profile)
    assert made["event"] == "Unknown Event"
    assert made["properties"]["objectType"] == object_type
    assert made["properties"]["metric"] == metric


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("missing", [("object_type",), ("metric",), ("object_type", "metric")])
def test_a_pair_that_is_not_whole_is_an_unknown_event(missing: tuple[str, ...], profile: str) -> None:
    without = {name: value for name, value in webhook().items() if name not in missing}
    null = webhook() | dict.fromkeys(missing)
    assert event(without, profile) == event(null, profile) | {"messageId": event(without, profile)["messageId"]}
    assert event(without, profile)["event"] == "Unknown Event"


@pytest.mark.parametrize("spelling", ["EMAIL", "Email", "eMaIl"])
def test_object_type_matches_in_any_case_and_is_carried_as_it_came(spelling: str) -> None:
    made = event(webhook(spelling, "sent"))
    assert made["event"] == "Email Sent"
    assert made["properties"]["objectType"] == spelling


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("object_type", [*rudderstack_reference.OBJECT_TYPES, "fax", None])
def test_changed_preferences_have_one_name_on_every_channel_and_with_none(
    object_type: str | None, profile: str
) -> None:
    payload = webhook("", rudderstack_reference.PREFERENCES, content='{"topics":{"topic_1":true}}') | {
        "object_type": object_type
    }
    made = event(payload, profile)
    assert made["event"] == "Customer Subscription Preferences Changed"
    assert made["properties"]["content"] == '{"topics":{"topic_1":true}}'
    assert made["properties"].get("objectType") == object_type


def test_changed_preferences_may_name_their_object_type_as_customerio_describes_it() -> None:
    payload = webhook("customer", rudderstack_reference.PREFERENCES)
    payload["object_type_type"] = payload.pop("object_type")
    assert event(payload)["properties"]["objectType"] == "customer"
    assert event(payload | {"object_type": "email"})["properties"]["objectType"] == "email"


DOCUMENTED_EVENTS = [
    pytest.param(section, metric, id=f"{section.title}: {listed}")
    for section in rudderstack_reference.DOCUMENTED
    for listed, metric in section.events.items()
]
DOCUMENTED_MAPPINGS = [
    pytest.param(section, source, target, id=f"{section.title}: {source} → {target}")
    for section in rudderstack_reference.DOCUMENTED
    for source, target in {**rudderstack_reference.COMMON, **section.mappings}.items()
]


@pytest.mark.parametrize(("section", "metric"), DOCUMENTED_EVENTS)
def test_every_documented_event_is_known(section: rudderstack_reference.Section, metric: str) -> None:
    assert event(webhook(section.object_type, metric))["event"] == rudderstack_reference.name(
        section.object_type, metric
    )
    assert rudderstack_reference.name(section.object_type, metric) != "Unknown Event"


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize(("section", "source", "target"), DOCUMENTED_MAPPINGS)
def test_every_documented_mapping_holds_on_every_event_of_its_section(
    section: rudderstack_reference.Section, source: str, target: str, profile: str
) -> None:
    for metric in section.events.values():
        bare = webhook(section.object_type, metric)
        if target == "userId":
            del bare["data"]["customer_id"]
        if target == "properties.eventId":
            del bare["event_id"]
        value = rudderstack_reference.sample(source)
        assert at(event(put(bare, source, value), profile), target) == value


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("object_type", rudderstack_reference.OBJECT_TYPES)
@pytest.mark.parametrize(("target", "sources"), rudderstack_reference.FIRST_NOT_NULL)
def test_the_first_source_that_is_not_null_wins_on_every_channel(
    target: str, sources: tuple[str, ...], object_type: str, profile: str
) -> None:
    """Each source alone, and each with all that come after it, wins; null and absent ones let the next come."""
    for first, winner in enumerate(sources):
        for others in ("absent", "null"):
            payload: Json = {
                "object_type": object_type,
                "metric": "failed",
                "timestamp": 1,
                "data": {"identifiers": {"cio_id": "c"}},
            }
            for earlier in sources[:first] if others == "null" else ():
                put(payload, earlier, None)
            for later in sources[first + 1 :]:
                put(payload, later, "other@example.com" if "email" in target else "other")
            value = rudderstack_reference.sample(winner)
            put(payload, winner, value)
            assert at(event(payload, profile), target) == value, (winner, others)


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("object_type", rudderstack_reference.OBJECT_TYPES)
@pytest.mark.parametrize("source", rudderstack_reference.DROPPED)
def test_what_the_reference_drops_is_carried(source: str, object_type: str, profile: str) -> None:
    target, value = rudderstack_reference.DROPPED[source]
    assert at(event(put(webhook(object_type), source, value), profile), target) == value


def test_the_email_is_the_anonymous_id_only_where_there_is_no_user_id() -> None:
    known = webhook(identifiers={"email": "test@example.com"})
    made = event(known)
    assert (made["userId"], "anonymousId" in made) == ("42", False)
    del known["data"]["customer_id"]
    made = event(known)
    assert ("userId" in made, made["anonymousId"]) == (False, "test@example.com")


@pytest.mark.parametrize("profile", PROFILES)
def test_what_the_reference_puts_around_every_event(profile: str) -> None:
    made = event(webhook(), profile)
    assert made["type"] == "track"
    assert made["originalTimestamp"] == "2021-02-11T17:04:49.000Z"
    assert made["sentAt"] == (made["originalTimestamp"] if profile == "rudderstack" else SENT)
    assert made["receivedAt"] == RECEIVED
    assert made["channel"] == "server"
    assert made["context"] == {
        "library": {"name": "unknown", "version": "unknown"},
        "integration": {"name": "Customer.io"},
        "sourceType": "Customer.io",
        "sourceId": "default",
    }
    assert made["integrations"] == {"Customer.io": False}


def test_traits_and_properties_are_absent_where_nothing_maps() -> None:
    made = event({"data": {"customer_id": "42"}})
    assert "properties" not in made
    assert "traits" not in made["context"]


EXAMPLES = {
    "customer": {
        "metric": "subscribed",
        "event_id": "01E4C4CT6YDC7Y5M7FE1GWWPQJ",
        "object_type": "customer",
        "timestamp": 1613063089,
        "data": {
            "customer_id": "0200000001",
            "email_address": "test@example.com",
            "identifiers": {"id": "42", "email": "test@example.com", "cio_id": "d9c106000001"},
        },
    },
    "sms": {
        "metric": "sent",
        "event_id": "01E4C4CT6YDC7Y5M7FE1GWWPQJ",
        "object_type": "sms",
        "timestamp": 1613063089,
        "data": {
            "action_id": 42,
            "broadcast_id": 9,
            "customer_id": "0200000001",
            "delivery_id": "RPILAgUBcRhIBqSfeiIwdIYJKxTY",
            "identifiers": {"id": "42", "email": "test@example.com", "cio_id": "d9c106000001"},
            "recipient": "+15551234567",
        },
    },
    "push": {
        "metric": "sent",
        "event_id": "01E4C4HDQ7P1X9KTKF0ZX7PWHE",
        "object_type": "push",
        "timestamp": 1585250350,
        "data": {
            "action_id": 37,
            "broadcast_id": 9,
            "customer_id": "0200102",
            "identifiers": {"id": "0200102"},
            "delivery_id": "RPILAgUBcRhIBqSfeiIwdIYJKxTY",
            "recipients": [{"device_id": "<token>", "device_platform": "android"}],
        },
    },
    "email": {
        "metric": "bounced",
        "event_id": "12ASDG7S9P6MAZPTJ78DAND9GDC",
        "object_type": "email",
        "timestamp": 1234567890,
        "data": {
            "content_id": 1146,
            "customer_id": "0200102",
            "identifiers": {"id": "0200102"},
            "delivery_id": "RMehBAAAAXE7r_ONUGXly9DBGkpq1JS31=",
            "failure_message": "550 5.5.0 ...",
            "newsletter_id": 736,
            "recipient": "test@example.com",
            "subject": "Thanks for joining!",
        },
    },
}
"""Customer.io's own."""

TIMES = {
    1613063089: "2021-02-11T17:04:49.000Z",
    1585250350: "2020-03-26T19:19:10.000Z",
    1234567890: "2009-02-13T23:31:30.000Z",
}
KNOWN = {"email": "test@example.com", "cioId": "d9c106000001"}


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize(
    ("example", "name", "user_id", "traits", "properties"),
    [
        ("customer", "Customer Subscribed", "0200000001", KNOWN, {}),
        (
            "sms",
            "SMS Sent",
            "0200000001",
            KNOWN,
            {"actionId": 42, "broadcastId": 9, "deliveryId": "RPILAgUBcRhIBqSfeiIwdIYJKxTY"},
        ),
        (
            "push",
            "Push Sent",
            "0200102",
            None,
            {
                "actionId": 37,
                "broadcastId": 9,
                "deliveryId": "RPILAgUBcRhIBqSfeiIwdIYJKxTY",
                "recipients": [{"device_id": "<token>", "device_platform": "android"}],
            },
        ),
        (
            "email",
            "Email Bounced",
            "0200102",
            {"email": "test@example.com"},
            {
                "contentId": 1146,
                "deliveryId": "RMehBAAAAXE7r_ONUGXly9DBGkpq1JS31=",
                "reason": "550 5.5.0 ...",
                "newsletterId": 736,
                "emailSubject": "Thanks for joining!",
            },
        ),
    ],
)
def test_customerios_examples_become_these_events_and_nothing_more(
    example: str, name: str, user_id: str, traits: Json | None, properties: Json, profile: str
) -> None:
    payload: Json = json.loads(json.dumps(EXAMPLES[example]))
    occurred = TIMES[payload["timestamp"]]
    if profile == "corrected" and example == "sms":
        traits = {**KNOWN, "phone": "+15551234567"}
    assert event(payload, profile) == {
        "type": "track",
        "event": name,
        "messageId": payload["event_id"],
        "channel": "server",
        "userId": user_id,
        "timestamp": occurred,
        "originalTimestamp": occurred,
        "sentAt": occurred if profile == "rudderstack" else SENT,
        "receivedAt": RECEIVED,
        "context": {
            "library": {"name": "unknown", "version": "unknown"},
            "integration": {"name": "Customer.io"},
            "sourceType": "Customer.io",
            "sourceId": "default",
            **({"traits": traits} if traits else {}),
        },
        "integrations": {"Customer.io": False},
        "properties": {
            "objectType": payload["object_type"],
            "metric": payload["metric"],
            "eventId": payload["event_id"],
            **properties,
        },
    }
