"""Shorthand for tests of the mapping: from a payload to RudderStack's JSON, or a dead letter's code and path."""

import json
from typing import Any

from processor.pipeline.mapper import Mapper, tree
from schemas.customerio.event_identity import identify
from schemas.error_codes import PayloadRejectedError
from schemas.record_headers import DEFAULT_SOURCE
from schemas.track_event import track_json

PROFILES = ("rudderstack", "corrected")
RECEIVED_MS = 1_613_063_090_500
RECEIVED = "2021-02-11T17:04:50.500Z"
SENT_S = 1_613_063_090
SENT = "2021-02-11T17:04:50.000Z"

MAPPERS = {profile: Mapper(profile) for profile in PROFILES}

Json = dict[str, Any]


def event(payload: Json | bytes, profile: str = "rudderstack", request_timestamp_s: int | None = SENT_S) -> Json:
    """Map a payload to RudderStack's JSON. Raises PayloadRejectedError."""
    return track_json(shaped(payload, profile, request_timestamp_s))


def shaped(payload: Json | bytes, profile: str = "rudderstack", request_timestamp_s: int | None = SENT_S) -> Json:
    """Map a payload to the Avro schema's shape. Raises PayloadRejectedError."""
    body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    event_id = identify(body).event_id
    return tree(MAPPERS[profile].row(body, RECEIVED_MS, request_timestamp_s, event_id, DEFAULT_SOURCE))


def refused(payload: Json | bytes, profile: str = "rudderstack") -> tuple[str, str | None]:
    """Return the code and path of the dead letter that the payload becomes."""
    try:
        made = event(payload, profile)
    except PayloadRejectedError as rejection:
        return rejection.code.value, rejection.field
    raise AssertionError(f"this became an event: {made}")


def outcome(payload: Json | bytes, profile: str = "rudderstack") -> object:
    """Return the event, or the code and path of the dead letter."""
    try:
        return event(payload, profile)
    except PayloadRejectedError as rejection:
        return rejection.code.value, rejection.field


def webhook(object_type: str = "email", metric: str = "sent", /, **data: Any) -> Json:
    """Return a payload of a known person."""
    return {
        "event_id": "01E4C4CT6YDC7Y5M7FE1GWWPQJ",
        "object_type": object_type,
        "metric": metric,
        "timestamp": 1_613_063_089,
        "data": {"customer_id": "42", **data},
    }
