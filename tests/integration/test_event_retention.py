"""Events are kept for as long as their topic keeps records, however long ago they occurred."""

import json
from collections import Counter
from pathlib import Path

from runtime.kafka import range_consumer
from runtime.settings.loader import load
from runtime.settings.model import Settings
from schemas.track_event import EventReader
from sternpost.local import LocalStack, samples, services
from sternpost.local.customerio_simulator import WebhookFeed
from sternpost.operations import schema, topics
from sternpost.operations.changes_allowed import ChangesAllowed
from tests.support.kafka import Kafka
from tests.support.retention import CHECKED_EACH_SECOND, IN_2020_MS, await_check
from tests.support.waiting import until

WEBHOOKS = 200


def test_events_of_2020_are_there_after_the_brokers_looked_for_what_is_old(kafka: Kafka, tmp_path: Path) -> None:
    with LocalStack(registry=False, broker_properties=CHECKED_EACH_SECOND) as stack:
        settings = load(
            None,
            {
                "kafka.bootstrap_servers": stack.bootstrap_servers,
                "schema_registry.url": kafka.registry_url,
                "topics.events": "events-of-2020",
                "topics.partitions": 2,
                "topics.replication_factor": 1,
                "topics.min_insync_replicas": 1,
                "ingest.host": "127.0.0.1",
                "ingest.port": 0,
                "ingest.admin_port": 0,
                "processor.admin_port": 0,
                "processor.state_dir": tmp_path / "state",
            },
        )
        topics.create(settings, ChangesAllowed())
        schema.register(settings, ChangesAllowed())
        payloads = [samples.payload(index, "old", since=IN_2020_MS // 1000) for index in range(WEBHOOKS)]
        with services.running(settings, own_cluster=True, data_dir=tmp_path) as running:
            source = running.settings.sources[0]
            keys = source.write_keys[0].get_secret_value(), source.signing_keys[0].get_secret_value()
            feed = WebhookFeed(running.url, *keys)
            for payload in payloads[: WEBHOOKS // 2]:
                assert feed.send(json.dumps(payload).encode())
            until(lambda: events_of(settings).total() == WEBHOOKS // 2)
            await_check(stack.bootstrap_servers, settings.topics.events_retention_ms)
            for payload in payloads[WEBHOOKS // 2 :]:
                assert feed.send(json.dumps(payload).encode())
            feed.close()
            until(lambda: events_of(settings).total() >= WEBHOOKS)
        await_check(stack.bootstrap_servers, settings.topics.events_retention_ms)
        assert events_of(settings) == Counter(payload["event_id"] for payload in payloads)
        spans = range_consumer.readable_ranges(settings, settings.topics.events)
        assert [span.start for span in spans] == [0, 0], "nothing of it was removed"


def events_of(settings: Settings) -> Counter[str]:
    read = EventReader.of_newest()
    found: Counter[str] = Counter()
    for message in range_consumer.read(settings, settings.topics.events):
        event = read(message.value() or b"")
        assert event["timestamp"].year == 2020
        found[event["messageId"]] += 1
    return found
