"""RudderStack's documented and observed mapping as facts that are written independently of ours, to test ours."""

from typing import NamedTuple

COMMON = {"data.customer_id": "userId", "data.event_id": "properties.eventId", "data.identifiers.id": "userId"}


class Section(NamedTuple):
    """A section of the documentation of the Customer.io source: its events and its table of mappings."""

    title: str
    object_type: str
    events: dict[str, str]
    """Name as listed → metric."""
    mappings: dict[str, str]


_MESSAGE = {
    "data.action_id": "properties.actionId",
    "data.broadcast_id": "properties.broadcastId",
    "data.delivery_id": "properties.deliveryId",
    "data.href": "properties.link.url",
    "data.link_id": "properties.link.id",
    "data.recipient": "context.traits.email",
    "data.failure_message": "properties.reason",
}

DOCUMENTED = (
    Section(
        "Email events",
        "email",
        {
            "Delivered": "delivered",
            "Opened": "opened",
            "Clicked": "clicked",
            "Bounced": "bounced",
            "Spammed": "spammed",
            "Unsubscribed": "unsubscribed",
            "Failed": "failed",
            "Dropped": "dropped",
            "Attempted": "attempted",
            "Converted": "converted",
            "Sent": "sent",
            "Drafted": "drafted",
        },
        {
            **_MESSAGE,
            "data.subject": "properties.emailSubject",
            "data.campaign_id": "properties.campaignId",
            "data.content_id": "properties.contentId",
            "data.newsletter_id": "properties.newsletterId",
        },
    ),
    Section(
        "Customer events",
        "customer",
        {"Subscribed": "subscribed", "Unsubscribed": "unsubscribed"},
        {"data.email_address": "context.traits.email"},
    ),
    Section(
        "SMS events",
        "sms",
        {
            "Failed": "failed",
            "Click": "clicked",
            "Sent": "sent",
            "Attempted": "attempted",
            "Drafted": "drafted",
            "Delivered": "delivered",
            "Converted": "converted",
            "Bounced": "bounced",
        },
        {**_MESSAGE, "data.campaign_id": "properties.campaignId"},
    ),
    Section(
        "Push notification events",
        "push",
        {
            "Failed": "failed",
            "Click": "clicked",
            "Sent": "sent",
            "Attempted": "attempted",
            "Drafted": "drafted",
            "Opened": "opened",
            "Converted": "converted",
            "Bounced": "bounced",
            "Dropped": "dropped",
        },
        {
            **_MESSAGE,
            "data.device_id": "properties.deviceId",
            "data.recipients": "properties.recipients",
            "data.campaign_id": "properties.campaignId",
            "data.device_platform": "properties.devicePlatform",
        },
    ),
    Section(
        "Webhook events",
        "webhook",
        {"Failed": "failed", "Click": "clicked", "Sent": "sent", "Attempted": "attempted", "Drafted": "drafted"},
        _MESSAGE,
    ),
    Section(
        "Slack events",
        "slack",
        {"Failed": "failed", "Click": "clicked", "Sent": "sent", "Attempted": "attempted", "Drafted": "drafted"},
        {**_MESSAGE, "data.campaign_id": "properties.campaignId"},
    ),
)

OBSERVED_NAMES = {
    "email": (
        "failed Email Failed · spammed Email Marked as Spam · dropped Email Dropped · bounced Email Bounced · "
        "subscribed Email Subscribed · unsubscribed Email Unsubscribed · converted Email Converted · "
        "clicked Email Link Clicked · opened Email Opened · delivered Email Delivered · sent Email Sent · "
        "attempted Email Attempted · drafted Email Drafted · deferred Email Deferred"
    ),
    "sms": (
        "failed SMS Failed · bounced SMS Bounced · converted SMS Converted · clicked SMS Link Clicked · "
        "delivered SMS Delivered · sent SMS Sent · attempted SMS Attempted · drafted SMS Drafted"
    ),
    "push": (
        "failed Push Failed · dropped Push Dropped · bounced Push Bounced · converted Push Converted · "
        "clicked Push Link Clicked · opened Push Opened · sent Push Sent · attempted Push Attempted · "
        "drafted Push Drafted · delivered Push Delivered"
    ),
    "slack": (
        "failed Slack Message Failed · clicked Slack Message Link Clicked · sent Slack Message Sent · "
        "attempted Slack Message Attempted · drafted Slack Message Drafted"
    ),
    "webhook": (
        "failed Webhook Message Failed · clicked Webhook Message Link Clicked · sent Webhook Message Sent · "
        "attempted Webhook Message Attempted · drafted Webhook Message Drafted"
    ),
    "customer": "subscribed Customer Subscribed · unsubscribed Customer Unsubscribed",
}
"""The names in the reference implementation: `metric Event name`."""

ADDED_NAMES = {
    "email": "undeliverable Email Undeliverable",
    "sms": (
        "dropped SMS Dropped · replied SMS Replied · undeliverable SMS Undeliverable · "
        "subscribed SMS Subscribed · unsubscribed SMS Unsubscribed"
    ),
    "push": ("undeliverable Push Undeliverable · subscribed Push Subscribed · unsubscribed Push Unsubscribed"),
    "slack": (
        "undeliverable Slack Message Undeliverable · subscribed Slack Subscribed · unsubscribed Slack Unsubscribed"
    ),
    "webhook": (
        "undeliverable Webhook Message Undeliverable · subscribed Webhook Subscribed · "
        "unsubscribed Webhook Unsubscribed"
    ),
    "whatsapp": (
        "drafted WhatsApp Drafted · attempted WhatsApp Attempted · sent WhatsApp Sent · "
        "delivered WhatsApp Delivered · opened WhatsApp Opened · clicked WhatsApp Link Clicked · "
        "converted WhatsApp Converted · bounced WhatsApp Bounced · dropped WhatsApp Dropped · "
        "failed WhatsApp Failed · undeliverable WhatsApp Undeliverable · replied WhatsApp Replied · "
        "subscribed WhatsApp Subscribed · unsubscribed WhatsApp Unsubscribed"
    ),
    "in_app": (
        "drafted In-App Message Drafted · attempted In-App Message Attempted · sent In-App Message Sent · "
        "opened In-App Message Opened · clicked In-App Message Link Clicked · "
        "converted In-App Message Converted · failed In-App Message Failed · "
        "undeliverable In-App Message Undeliverable · "
        "subscribed In-App Subscribed · unsubscribed In-App Unsubscribed"
    ),
}
"""Pairs that Customer.io sends and the reference calls Unknown Event, named after the same pattern."""

PREFERENCES = "cio_subscription_preferences_changed"
PREFERENCES_NAME = "Customer Subscription Preferences Changed"

OBJECT_TYPES = ("customer", "email", "push", "sms", "whatsapp", "in_app", "slack", "webhook")
METRICS = (
    *("drafted", "attempted", "sent", "delivered", "opened", "clicked", "converted", "replied", "deferred"),
    *("bounced", "dropped", "spammed", "failed", "undeliverable", "subscribed", "unsubscribed", PREFERENCES),
)


def name(object_type: str, metric: str) -> str:
    """Return the expected event name of a pair."""
    if metric == PREFERENCES:
        return PREFERENCES_NAME
    for names in (OBSERVED_NAMES, ADDED_NAMES):
        for entry in names.get(object_type, "").split(" · "):
            known, _, called = entry.partition(" ")
            if known == metric:
                return called
    return "Unknown Event"


FIRST_NOT_NULL = (
    ("userId", ("data.customer_id", "data.identifiers.id")),
    ("context.traits.email", ("data.identifiers.email", "data.recipient", "data.email_address")),
    ("context.traits.cioId", ("data.identifiers.cio_id",)),
    ("properties.eventId", ("event_id", "data.event_id")),
    ("properties.reason", ("data.failure_message", "data.recipients[0].failure_message")),
    ("properties.emailSubject", ("data.subject",)),
    ("properties.link.url", ("data.href",)),
    ("properties.link.id", ("data.link_id",)),
    ("properties.type", ("data.event_type",)),
    *(
        (f"properties.{target}", (f"data.{source}",))
        for target, source in {
            "actionId": "action_id",
            "broadcastId": "broadcast_id",
            "deliveryId": "delivery_id",
            "campaignId": "campaign_id",
            "contentId": "content_id",
            "newsletterId": "newsletter_id",
            "triggerId": "trigger_id",
            "journeyId": "journey_id",
            "parentActionId": "parent_action_id",
            "transactionalMessageId": "transactional_message_id",
            "content": "content",
            "deviceId": "device_id",
            "devicePlatform": "device_platform",
            "recipients": "recipients",
        }.items()
    ),
)
"""The reference's order of sources for each target."""

DROPPED = {
    "data.trigger_event_id": ("properties.triggerEventId", "01EVT"),
    "data.headers": ("properties.headers", {"X-Mailer": ["a", "b"], "List-Id": []}),
    "data.proxied": ("properties.proxied", True),
    "data.prefetched": ("properties.prefetched", False),
    "data.synthetic": ("properties.synthetic", True),
    "data.machine": ("properties.machine", True),
    "data.tracked_response": ("properties.trackedResponse", "yes"),
    "data.inbound_event_id": ("properties.inboundEventId", "01INB"),
    "data.to": ("properties.to", "+15550000000"),
    "data.recipients": (
        "properties.recipients",
        [
            {"device_id": "a", "device_platform": "ios", "failure_message": "NotRegistered"},
            {"device_id": "b", "device_platform": "android", "failure_message": "Expired"},
        ],
    ),
}
"""Fields that the reference drops and we carry: source → target and a value."""

VALUES: dict[str, object] = {
    "whole": 9_007_199_254_740_993,
    "text": "a text ⚓",
    "devices": [{"device_id": "<token>", "device_platform": "android"}],
}


def sample(source: str) -> object:
    """Return a value that Customer.io could send in this field."""
    if source == "data.recipients":
        return VALUES["devices"]
    if source in ("data.recipient", "data.email_address", "data.identifiers.email"):
        return "test@example.com"
    whole = source.endswith(
        ("action_id", "broadcast_id", "link_id", "campaign_id", "content_id", "newsletter_id", "trigger_id")
    )
    return VALUES["whole" if whole else "text"]
