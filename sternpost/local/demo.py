"""The demo: send webhooks of every kind through the pipeline, and count what comes out.

The events are read as any sink reads them: with read_committed, the registry's schema and confluent_kafka's own Avro
deserializer.
"""

import secrets
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import orjson
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer
from confluent_kafka.serialization import MessageField, SerializationContext

from runtime.errors import DependencyError
from runtime.kafka import range_consumer
from runtime.settings.model import Settings
from schemas.record_headers import ERROR_CODE
from schemas.track_event import track_json
from sternpost.local import samples
from sternpost.local.customerio_simulator import WebhookFeed
from sternpost.operations.status import service
from sternpost.operations.status.consumer_group import processor_offsets

BROKEN = b'{"metric":"opened","event_id":"01HDBROKEN","object_type":"email","timestamp":17000'
"""A truncated body."""

SETTLE_S = 120.0
_BECAME = ("events", "duplicates", "dead_letters")
"""What a raw record is counted as."""


@dataclass
class Outcome:
    """What was sent and what came out."""

    sent: Counter[str] = field(default_factory=Counter)
    """Webhooks by channel; the truncated and the forged one count as channels of their own."""
    acknowledged: Counter[str] = field(default_factory=Counter)
    emitted: Counter[str] = field(default_factory=Counter)
    """Events in the output topic by channel."""
    deduplicated: int = 0
    """Raw records that were duplicates."""
    dead_lettered: Counter[str] = field(default_factory=Counter)
    """Dead letters by error code."""
    refused: int = 0
    """Webhooks with a forged signature that got 401."""
    raw: int = 0
    """Records in the raw topic."""
    events: list[dict[str, Any]] = field(default_factory=list)
    """The events, decoded, in RudderStack's JSON form."""

    def counts(self) -> dict[str, int]:
        """Return the figures that `EXPECTED` lists."""
        return {
            "sent": self.sent.total(),
            "acknowledged": self.acknowledged.total(),
            "refused": self.refused,
            "raw": self.raw,
            "emitted": self.emitted.total(),
            "deduplicated": self.deduplicated,
            "dead_lettered": self.dead_lettered.total(),
        }

    def wrong(self) -> list[str]:
        """Return what differs from the expectation, in words; empty if nothing does."""
        found = [
            f"{name} is {actual}, but should be {EXPECTED[name]}"
            for name, actual in self.counts().items()
            if actual != EXPECTED[name]
        ]
        if self.dead_lettered != Counter({"malformed_json": 1}):
            found.append(f"dead letters are {dict(self.dead_lettered)}, but should be one malformed_json")
        for channel, metrics in samples.KINDS.items():
            if self.emitted[channel] != len(metrics):
                found.append(f"{self.emitted[channel]} {channel} events came out, but there should be {len(metrics)}")
        wanted = {payload["event_id"] for payload in samples.one_of_each()}
        if {event["messageId"] for event in self.events} != wanted:
            found.append("the ids of the events differ from those that were sent")
        if any(event["event"] == "Unknown Event" for event in self.events):
            found.append("an event has no name")
        return found


_KINDS = len(samples.PAIRS)
EXPECTED = {
    "sent": _KINDS + 3,  # one of each kind, one of them again, a broken one, a forged one
    "acknowledged": _KINDS + 2,
    "refused": 1,
    "raw": _KINDS + 2,
    "emitted": _KINDS,
    "deduplicated": 1,
    "dead_lettered": 1,
}


def sources() -> list[dict[str, Any]]:
    """Return the setting `sources` with one source that has random keys."""
    key = secrets.token_hex
    return [{"name": "demo", "write_keys": [key(16)], "signing_keys": [key(16)]}]


def run(settings: Settings, url: str) -> Outcome:
    """Send the webhooks to the running services and read the results from their topics, which must be new.

    `settings` are those of the services; their first source is the sender. Raises DependencyError if the processor
    does not catch up within SETTLE_S seconds.
    """
    source = settings.sources[0]
    write_key, signing_key = source.write_keys[0].get_secret_value(), source.signing_keys[0].get_secret_value()
    outcome = Outcome()
    feed = WebhookFeed(url, write_key, signing_key, stall_s=0.1, give_up_s=10)
    payloads = list(samples.one_of_each(since=int(time.time()) - 60))
    again = next(payload for payload in payloads if (payload["object_type"], payload["metric"]) == ("email", "opened"))
    for payload in [*payloads, again]:
        channel = payload["object_type"]
        outcome.sent[channel] += 1
        outcome.acknowledged[channel] += feed.send(orjson.dumps(payload))
    outcome.sent["broken"] += 1
    outcome.acknowledged["broken"] += feed.send(BROKEN)
    feed.close()

    forger = WebhookFeed(url, write_key, "not the signing key", give_up_s=0)
    outcome.sent["forged"] += 1
    outcome.acknowledged["forged"] += forger.send(orjson.dumps(payloads[0]))
    outcome.refused = forger.report.answers["401"]
    forger.close()

    _await_processor(settings)
    _read(settings, outcome)
    return outcome


def _await_processor(settings: Settings) -> None:
    """Wait until the group has committed the end of every raw partition and its transactions can be read."""
    topics = settings.topics
    ends = {span.partition: span.end for span in range_consumer.readable_ranges(settings, topics.raw)}
    deadline = time.monotonic() + SETTLE_S
    behind = ends
    while time.monotonic() < deadline:
        committed = processor_offsets(settings, sorted(ends))
        behind = {partition: end for partition, end in ends.items() if end > committed.get(partition, 0)}
        # The offsets are committed a moment before the transaction's end marker is in every partition.
        if not behind and all(_is_settled(settings, topic) for topic in (topics.events, topics.dead_letters)):
            return
        time.sleep(0.05)
    raise DependencyError(
        f"the processor did not catch up on {topics.raw} within {SETTLE_S:.0f} s (partitions {sorted(behind)} are "
        "behind); see its log"
    )


def _is_settled(settings: Settings, topic: str) -> bool:
    """Return whether no transaction is open in the topic."""
    ends = dict.fromkeys(range_consumer.topic_partitions(settings, topic), range_consumer.FROM_END)
    return range_consumer.offsets(settings, topic, ends) == range_consumer.offsets(settings, topic, ends, stable=False)


def _read(settings: Settings, outcome: Outcome) -> None:
    topics = settings.topics
    deserialize = AvroDeserializer(SchemaRegistryClient({"url": settings.schema_registry.url}))
    context = SerializationContext(topics.events, MessageField.VALUE)
    for message in range_consumer.read(settings, topics.events):
        event = track_json(deserialize(message.value(), context))
        outcome.events.append(event)
        outcome.emitted[event["properties"]["objectType"]] += 1
    for message in range_consumer.read(settings, topics.dead_letters):
        outcome.dead_lettered[(dict(range_consumer.headers_of(message))[ERROR_CODE] or b"").decode()] += 1
    outcome.raw = sum(1 for _ in range_consumer.read(settings, topics.raw))
    outcome.deduplicated = _duplicates(settings, outcome.raw)


def _duplicates(settings: Settings, records: int) -> int:
    """Return how many duplicates the processor has counted, once it has counted all of so many raw records.

    It counts what it committed a moment later. If it does not come to that number within SETTLE_S seconds, return what
    it has.
    """
    deadline = time.monotonic() + SETTLE_S
    while True:
        said = service.fetch_status("processor", settings.processor.admin_host, settings.processor.admin_port)
        counted = {name: int(said.totals.get(f"sternpost_processor_{name}_total", 0)) for name in _BECAME}
        if sum(counted.values()) >= records or time.monotonic() > deadline:
            return counted["duplicates"]
        time.sleep(0.05)
