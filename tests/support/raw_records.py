"""Raw records for tests of the processor."""

import json
from collections.abc import Sequence
from typing import Any

from processor.pipeline.records import RawRecord
from runtime.kafka.message_headers import Headers

TOPIC = "raw"
NOW_MS = 1_764_000_000_000


def raw(
    offset: int = 0,
    body: bytes | None = None,
    *,
    event_id: str | None = None,
    source: str = "production",
    attempt: int = 0,
    partition: int = 0,
    at_ms: int = NOW_MS,
    headers: Sequence[tuple[str, bytes | None]] | None = None,
) -> RawRecord:
    """Make a raw record as ingest writes it; `headers` replaces all of its headers."""
    if event_id is None:
        event_id = f"event-{offset}"
    of_record: Headers = list(headers or [])
    if headers is None:
        of_record = [
            ("source", source.encode()),
            ("received_at", str(at_ms).encode()),
            ("request_timestamp", str(at_ms // 1000).encode()),
            ("event_id", event_id.encode()),
            *([("attempt", str(attempt).encode())] if attempt else []),
        ]
    value = payload(event_id) if body is None else body
    return RawRecord(TOPIC, partition, offset, at_ms, b"person", value, of_record)


def payload(event_id: str = "event", customer_id: str | None = "42", **top: Any) -> bytes:
    """Return the body of an email that was opened."""
    return json.dumps(
        {
            "event_id": event_id,
            "object_type": "email",
            "metric": "opened",
            "timestamp": NOW_MS // 1000 - 60,
            "data": {"customer_id": customer_id, "delivery_id": "delivery"},
            **top,
        }
    ).encode()
