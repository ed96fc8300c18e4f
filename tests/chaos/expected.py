"""What each record must be by the documented contracts; it uses no code of ours."""

import hashlib
import json
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.chaos.load import Sent
from tests.chaos.records import Record


def raw_parts_of(sent: Sent) -> dict[str, Any]:
    """The raw record of a body: what identifies it, and its key. A broken body names nobody."""
    event_id = hashlib.sha256(sent.body).hexdigest() if sent.broken else sent.event_id
    key = None if sent.broken else f"cio-{sent.person}".encode()
    return {"key": key, "source": sent.source.encode(), "event_id": event_id.encode()}


def event_of(sent: Sent, raw: Record) -> dict[str, Any]:
    """The whole event of a body, as the documented mapping has it, and its record's key and headers."""
    payload = json.loads(sent.body)
    data, occurred = payload["data"], moment(1000 * payload["timestamp"])
    return {
        "key": sent.person.encode(),
        "headers": {},
        "type": "track",
        "event": "Email Opened",
        "messageId": sent.event_id,
        "channel": "server",
        "userId": sent.person,
        "timestamp": occurred,
        "originalTimestamp": occurred,
        "sentAt": occurred,
        "receivedAt": moment(raw.timestamp_ms),
        "context.library.name": "unknown",
        "context.library.version": "unknown",
        "context.integration.name": "Customer.io",
        "context.sourceType": "Customer.io",
        "context.sourceId": sent.source,
        "context.origin.topic": raw.topic,
        "context.origin.partition": raw.partition,
        "context.origin.offset": raw.offset,
        "context.traits.email": data["identifiers"]["email"],
        "context.traits.cioId": data["identifiers"]["cio_id"],
        "integrations.Customer.io": False,
        "properties.objectType": "email",
        "properties.metric": "opened",
        "properties.eventId": sent.event_id,
        "properties.deliveryId": data["delivery_id"],
        "properties.campaignId": data["campaign_id"],
        "properties.triggerEventId": data["trigger_event_id"],
        "properties.emailSubject": data["subject"],
        "properties.headers.X-Number": [data["headers"]["X-Number"]],
        "properties.proxied": data["proxied"],
    }


def dead_letter_of(raw: Record) -> dict[str, Any]:
    """The dead letter of a body that is not JSON, but for what it says to people."""
    return {
        "key": raw.key,
        "value": raw.value,
        **raw.headers,
        "received_at": str(raw.timestamp_ms).encode(),
        "error_code": b"malformed_json",
        "error_stage": b"parse",
        "raw_topic": raw.topic.encode(),
        "raw_partition": str(raw.partition).encode(),
        "raw_offset": str(raw.offset).encode(),
    }


def moment(unix_ms: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=unix_ms)
