"""A reporting webhook as Customer.io describes it: https://docs.customer.io/integrations/api/webhooks.

These models are the description, for people, for editors and for tools (`Webhook.model_json_schema()`). The mapping
does not parse with them: it takes whatever comes, field by field, since one odd field must not cost an event that does
not need it. Unknown fields are allowed, and every field may be absent.
"""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

Text = str | int
"""Typed as text by Customer.io; where an example has an integer, its digits are taken."""

Whole = Annotated[int, Field(ge=-(2**63), lt=2**63)]


class Part(BaseModel):
    model_config = ConfigDict(extra="allow", use_attribute_docstrings=True)


class Identifiers(Part):
    """Who the person is. A workspace that knows people only by id sends only that."""

    id: Text | None = None
    """The id that the workspace gave the person."""

    email: str | None = None
    """The person's email address."""

    cio_id: str | None = None
    """Customer.io's own id of the person; it never changes."""


class Device(Part):
    """A device that a push went to."""

    device_id: str | None = None
    """The device's token."""

    device_platform: str | None = None
    """`ios` or `android`."""

    failure_message: str | None = None
    """bounced, dropped: why the push did not reach this device."""


class Data(Part):
    """What happened to which message. Which fields there are depends on the channel, the metric and what sent it."""

    customer_id: Text | None = None
    """The id that the workspace gave the person; blank when the person was deleted."""

    identifiers: Identifiers | None = None
    """Who the person is."""

    event_id: Text | None = None
    """The event's id, where it is not beside `data`."""

    event_type: str | None = None
    """The event's type; known from RudderStack's mapping only."""

    # What sent the message
    delivery_id: str | None = None
    """The message that was sent to the person."""

    action_id: Whole | None = None
    """Campaign, broadcast: the step that sent it."""

    parent_action_id: Whole | None = None
    """Campaign, broadcast: the step above that one."""

    campaign_id: Whole | None = None
    """Campaign."""

    trigger_event_id: str | None = None
    """Campaign: the event that started the person on it."""

    journey_id: Text | None = None
    """Campaign, broadcast: the person's way through it."""

    broadcast_id: Whole | None = None
    """API-triggered broadcast."""

    trigger_id: Whole | None = None
    """API-triggered broadcast: its trigger."""

    newsletter_id: Whole | None = None
    """Newsletter."""

    content_id: Whole | None = None
    """Newsletter: the variant or language."""

    transactional_message_id: Text | None = None
    """Transactional message."""

    # What happened to it
    recipient: Text | None = None
    """Where it went: an email address, a phone number, a #channel, a URL or an id. Not there for push."""

    recipients: list[Device] | Device | None = None
    """push: the devices that it went to."""

    device_id: str | None = None
    """push: the device; known from RudderStack's mapping only."""

    device_platform: str | None = None
    """push: the device's system; known from RudderStack's mapping only."""

    subject: str | None = None
    """email: the subject."""

    content: str | None = None
    """sent: what was sent. cio_subscription_preferences_changed: the preferences, as JSON text."""

    headers: dict[str, list[str]] | None = None
    """email sent: the message's headers."""

    failure_message: str | None = None
    """attempted, bounced, dropped, failed, undeliverable: why."""

    href: str | None = None
    """clicked: the link."""

    link_id: Whole | None = None
    """clicked: the link's id."""

    machine: bool | None = None
    """email clicked: by a machine."""

    proxied: bool | None = None
    """email opened: by a mail proxy."""

    prefetched: bool | None = None
    """email opened: by a prefetching mail program."""

    synthetic: bool | None = None
    """email opened: inferred."""

    tracked_response: str | None = None
    """in_app clicked: the response."""

    inbound_event_id: str | None = None
    """replied: the inbound message's id."""

    to: Text | None = None
    """replied: the number that the reply was sent to; `recipient` is who replied."""

    email_address: str | None = None
    """Person-level events: the person's email address."""


class Webhook(Part):
    """The body of one request."""

    event_id: Text | None = None
    """Identifies the event; opaque."""

    object_type: Text | None = None
    """The channel; on events about a person the channel that caused them, or `customer`."""

    object_type_type: Text | None = None
    """So named instead, in the description of cio_subscription_preferences_changed."""

    metric: Text | None = None
    """What happened."""

    event_type: Text | None = None
    """Stands for both in the legacy format: `email_sent`."""

    timestamp: Any = None
    """When it occurred: Unix seconds. Digits as text and ISO-8601 are read as well."""

    data: Data | None = None
    """What happened to which message."""
