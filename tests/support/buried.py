"""Dead letters as the processor writes them."""

import time
from typing import Any

from runtime.settings.model import Settings
from schemas import record_headers
from tests.support.kafka import idempotent_producer
from tests.support.waiting import PATIENCE_S

GOOD = b'{"event_id":"e-%d","object_type":"email","metric":"sent","data":{"customer_id":"u%d"}}'
BROKEN = b'{"event_id":"b","data":{"customer_id":"u","action_id":"no number"}}'

RECEIVED_AT = str(int(time.time() * 1000) - 60_000)
"""Not so long ago that brokers would remove an event of that time."""


def bury(settings: Settings, letters: list[dict[str, Any]]) -> None:
    """Writes dead letters as the processor does."""
    producer = idempotent_producer(settings.kafka.bootstrap_servers, {"linger.ms": 5, "message.max.bytes": 4_000_000})
    for index, letter in enumerate(letters):
        partition = letter.get("partition", index % 3)
        found = {
            record_headers.SOURCE: "test",
            record_headers.RECEIVED_AT: RECEIVED_AT,
            record_headers.EVENT_ID: f"e-{index}",
            record_headers.ERROR_CODE: "internal_error",
            record_headers.ERROR_MESSAGE: "a fault",
            record_headers.ERROR_STAGE: "map",
            record_headers.RAW_TOPIC: settings.topics.raw,
            record_headers.RAW_PARTITION: str(partition),
            record_headers.RAW_OFFSET: str(index),
        } | letter.get("headers", {})
        producer.produce(
            settings.topics.dead_letters,
            key=letter.get("key", b"u"),
            value=letter.get("value", GOOD % (index, index)),
            headers={name: value for name, value in found.items() if value is not None},
            partition=partition,
            **({"timestamp": letter["timestamp"]} if "timestamp" in letter else {}),
        )
    assert producer.flush(PATIENCE_S) == 0
