"""The legacy format of reporting webhooks: `event_type` in place of `object_type` and `metric`."""

import pytest

from processor.pipeline.records import RawRecord
from schemas.customerio.event_identity import identify
from schemas.mapping import tables
from sternpost.operations.replay.replay_pipeline import Filters
from tests.support import rudderstack_reference
from tests.support.mapped import PROFILES, Json, event, refused, webhook

NAMED = {
    "customer_subscribed": "Customer Subscribed",
    "customer_unsubscribed": "Customer Unsubscribed",
    "email_attempted": "Email Attempted",
    "email_bounced": "Email Bounced",
    "email_clicked": "Email Link Clicked",
    "email_converted": "Email Converted",
    "email_delivered": "Email Delivered",
    "email_drafted": "Email Drafted",
    "email_dropped": "Email Dropped",
    "email_failed": "Email Failed",
    "email_opened": "Email Opened",
    "email_sent": "Email Sent",
    "email_spammed": "Email Marked as Spam",
    "email_unsubscribed": "Email Unsubscribed",
}
"""The values that Customer.io's documentation of that time lists."""


def legacy(event_type: object, /, **data: object) -> Json:
    return {
        "event_id": "01C9S7G83J0000000000000001",
        "event_type": event_type,
        "timestamp": 1_522_338_867,
        "data": {"customer_id": "42", **data},
    }


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize(("event_type", "name"), NAMED.items())
def test_every_documented_type_becomes_the_event_of_its_pair(event_type: str, name: str, profile: str) -> None:
    channel, metric = event_type.split("_")
    made, modern = event(legacy(event_type), profile), event(webhook(channel, metric), profile)
    assert made["event"] == modern["event"] == name
    assert made["properties"] == {
        "objectType": channel,
        "metric": metric,
        "type": event_type,
        "eventId": "01C9S7G83J0000000000000001",
    }
    assert made["originalTimestamp"] == "2018-03-29T15:54:27.000Z"


def test_every_known_pair_has_one_type_whatever_underscores_are_in_it() -> None:
    pairs = [(row.object_type, row.metric) for row in tables.events() if row.object_type != "*"]
    assert [tables.legacy_pair(f"{channel}_{metric}") for channel, metric in pairs] == pairs
    assert ("in_app", "opened") in pairs


def test_a_whole_body_is_read_and_keyed_by_its_person() -> None:
    payload = legacy(
        "email_delivered",
        campaign_id="12",
        campaign_name="Welcome",
        email_address="Ann <ann@example.com>",
        email_id="RPILAgABYnJ3000000000000000",
        message_id="65",
        subject="Welcome aboard",
        template_id="35",
        variables={"customer": {"id": "42", "created_at": 1}, "campaign": {"id": 12}},
    )
    made = event(payload)
    assert made["userId"] == "42"
    assert made["context"]["traits"] == {"email": "Ann <ann@example.com>"}
    assert made["properties"]["campaignId"] == 12
    assert made["properties"]["emailSubject"] == "Welcome aboard"
    body = b'{"event_type":"email_drafted","event_id":"e","data":{"customer_id":"","email_address":"ann@example.com"}}'
    assert identify(body) == ("e", "ann@example.com")
    assert event(body)["anonymousId"] == "ann@example.com"
    assert refused(legacy("email_sent", customer_id=None)) == ("missing_identity", "data.identifiers")


@pytest.mark.parametrize(
    "event_type",
    [
        "order.created",
        "",
        " ",
        "email",
        "sent",
        "email_",
        "_sent",
        "Email_Sent",
        "email_sent ",
        "fax_sent",
        "email__sent",
    ],
)
@pytest.mark.parametrize("profile", PROFILES)
def test_any_other_type_is_carried(event_type: str, profile: str) -> None:
    made = event(legacy(event_type), profile)
    assert made["event"] == "Unknown Event"
    assert made["properties"] == {"type": event_type, "eventId": "01C9S7G83J0000000000000001"}


def test_a_known_channel_and_a_known_metric_that_are_no_pair_are_told_apart_all_the_same() -> None:
    made = event(legacy("sms_spammed"))
    assert made["event"] == rudderstack_reference.name("sms", "spammed") == "Unknown Event"
    assert (made["properties"]["objectType"], made["properties"]["metric"]) == ("sms", "spammed")


@pytest.mark.parametrize("present", [{"object_type": "push"}, {"object_type_type": "push"}, {"metric": "opened"}])
def test_it_never_overrules_what_is_there(present: Json) -> None:
    made = event(legacy("email_sent") | present)
    assert made["event"] == "Unknown Event"
    assert made["properties"]["type"] == "email_sent"
    assert {*present.values()} <= {*made["properties"].values()}
    assert "email" not in made["properties"].values()
    whole = event(webhook("push", "opened") | {"event_type": "email_sent"})
    assert (whole["event"], whole["properties"]["objectType"]) == ("Push Opened", "push")


def test_nulls_count_as_absent() -> None:
    assert event(legacy("email_sent") | {"object_type": None, "metric": None})["event"] == "Email Sent"
    assert "type" not in event(legacy(None))["properties"]


def test_the_type_in_data_comes_first_and_a_wrong_type_is_refused() -> None:
    made = event(legacy("email_sent", event_type="inner"))
    assert (made["event"], made["properties"]["type"]) == ("Email Sent", "inner")
    assert refused(legacy(["email_sent"])) == ("invalid_field", "event_type")
    assert event(webhook(event_type="inner") | {"event_type": []})["properties"]["type"] == "inner"


@pytest.mark.parametrize(
    ("body", "taken"),
    [
        (b'{"event_type":"email_sent"}', True),
        (b'{"event_type":"sms_sent"}', False),
        (b'{"event_type":"order.created"}', False),
        (b'{"event_type":["email_sent"]}', False),
        (b'{"event_type":"email_sent","object_type":"sms"}', False),
    ],
)
def test_a_replay_finds_it_by_its_channel(body: bytes, taken: bool) -> None:
    filters = Filters(object_types=frozenset({"email"}))
    assert filters.match(RawRecord("raw", 0, 0, 0, None, body, [])) is taken
