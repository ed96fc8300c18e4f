"""Sample webhooks as Customer.io sends them: one of every kind, or any number for load."""

import json
from collections.abc import Iterator
from typing import Any

KINDS: dict[str, tuple[str, ...]] = {
    "customer": ("subscribed", "unsubscribed", "cio_subscription_preferences_changed"),
    "email": (
        *("drafted", "attempted", "sent", "delivered", "opened", "clicked", "converted"),
        *("unsubscribed", "bounced", "dropped", "spammed", "failed", "undeliverable"),
    ),
    "push": (
        *("drafted", "attempted", "sent", "delivered", "opened", "clicked", "converted"),
        *("bounced", "dropped", "failed", "undeliverable"),
    ),
    "sms": (
        *("drafted", "attempted", "sent", "delivered", "clicked", "converted"),
        *("bounced", "failed", "undeliverable", "replied"),
    ),
    "whatsapp": (
        *("drafted", "attempted", "sent", "delivered", "opened", "clicked", "converted"),
        *("bounced", "dropped", "failed", "undeliverable", "replied"),
    ),
    "in_app": ("drafted", "attempted", "sent", "opened", "clicked", "converted", "failed", "undeliverable"),
    "slack": ("drafted", "attempted", "sent", "clicked", "failed", "undeliverable"),
    "webhook": ("drafted", "attempted", "sent", "clicked", "failed", "undeliverable"),
}
"""The metrics of each object type: https://docs.customer.io/integrations/api/webhooks."""

PAIRS = [(object_type, metric) for object_type, metrics in KINDS.items() for metric in metrics]

FAILURES = {"attempted", "bounced", "dropped", "failed", "undeliverable"}


def one_of_each(run: str = "", people: int = 7, since: int = 1_700_000_000) -> Iterator[dict[str, Any]]:
    """Yield a payload for each pair of object type and metric, in a fixed order. `run` makes the event ids unique."""
    for index in range(len(PAIRS)):
        yield payload(index, run, people, since)


def payload(index: int, run: str = "", people: int = 1_000, since: int = 1_700_000_000) -> dict[str, Any]:
    """Return the index-th payload. It is the same for the same arguments; kinds and people take turns.

    The first event happens at `since` (Unix time in seconds), and ten happen in each second.
    """
    object_type, metric = PAIRS[index % len(PAIRS)]
    person = index % people
    customer_id, email, phone = f"user-{person:06d}", f"user-{person:06d}@example.com", f"+1555{person:07d}"
    data: dict[str, Any] = {
        "customer_id": customer_id,
        "identifiers": {"id": customer_id, "email": email, "cio_id": f"c10{person:09x}"},
    }
    if object_type == "customer":
        data["email_address"] = email
        if metric == "cio_subscription_preferences_changed":
            data["content"] = json.dumps({"topics": {"topic_1": person % 2 == 0}}, separators=(",", ":"))
        return _envelope(index, run, since, object_type, metric, data)

    data |= _origin(index)
    recipient: dict[str, dict[str, Any]] = {
        "email": {"recipient": email, "subject": "Thanks for joining ⚓"},
        "push": {
            "recipients": [{"device_id": f"device-{person:06d}", "device_platform": ("ios", "android")[person % 2]}]
        },
        "sms": {"recipient": phone},
        "whatsapp": {"recipient": phone},
        "in_app": {"recipient": customer_id},
        "slack": {"recipient": "#growth"},
        "webhook": {"recipient": "https://hooks.example.com/in"},
    }
    data |= recipient[object_type]
    data |= _details(object_type, metric, data)
    return _envelope(index, run, since, object_type, metric, data)


def _origin(index: int) -> dict[str, Any]:
    """Return the ids of what sent the message: campaign, newsletter, broadcast and transactional message take turns."""
    delivery = {"delivery_id": f"RPILAgUBcRhIBqSfeiIw{index:08d}"}
    return (
        delivery
        | (
            {"campaign_id": 7, "action_id": 42, "journey_id": "01GW20GXAAXBKZD8J96M8FNV3R", "parent_action_id": 41},
            {"newsletter_id": 736, "content_id": 1146},
            {"trigger_id": 3, "broadcast_id": 9, "action_id": 37, "journey_id": "01GW20GXAAXBKZD8J96M8FNV3S"},
            {"transactional_message_id": 5},
        )[index % 4]
    )


def _details(object_type: str, metric: str, data: dict[str, Any]) -> dict[str, Any]:
    """Return the fields that a metric adds."""
    per_device = object_type == "push" and metric in ("bounced", "dropped")
    if per_device:
        return {"recipients": [device | {"failure_message": "NotRegistered"} for device in data["recipients"]]}
    if metric in FAILURES:
        return {"failure_message": "550 5.5.0 Requested action not taken: mailbox unavailable"}
    if metric == "clicked":
        machine = {"machine": False} if object_type == "email" else {}
        return {"href": "https://example.com/welcome?utm_source=cio", "link_id": 1, **machine}
    if metric == "sent" and object_type == "email":
        return {"content": "<p>Welcome aboard!</p>", "headers": {"X-Mailer": ["Customer.io"]}}
    if metric == "sent":
        return {"content": "Welcome aboard!"}
    if metric == "opened" and object_type == "email":
        return {"proxied": False, "prefetched": False, "synthetic": False}
    if metric == "replied":
        return {"inbound_event_id": "01HE0000000000000000000000", "to": "+15550000000", "content": "STOP"}
    return {}


def _envelope(index: int, run: str, since: int, object_type: str, metric: str, data: dict[str, Any]) -> dict[str, Any]:
    return {
        "event_id": f"01HD{run}{index:0{22 - len(run)}d}",
        "object_type": object_type,
        "metric": metric,
        "timestamp": since + index // 10,
        "data": data,
    }
