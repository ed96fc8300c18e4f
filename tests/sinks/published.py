"""The topic that the sinks read: events of both profiles from the real services, beside aborted transactions.

    profile rudderstack: webhooks ─▶ ingest ─▶ raw ─▶ processor ─┐
                                                                 ├─▶ events ─▶ the sinks
    profile corrected:   webhooks ─▶ ingest ─▶ raw ─▶ processor ─┘
                         aborted transactions before, between and after ─┘

The sinks are compared with what fastavro reads, which in turn is compared with what `sternpost transform` prints.
"""

import json
import subprocess
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from runtime.settings.model import Settings
from schemas.track_event import track_json
from sternpost.local import ports, samples
from sternpost.local.services import Services
from tests.chaos.oracle import decoder
from tests.chaos.pipeline import STERNPOST
from tests.sinks import awkward
from tests.support.kafka import WRITE_KEY, Kafka
from tests.support.waiting import until

PARTITIONS = 3
PROFILES = ("rudderstack", "corrected")
PATIENCE_S = 120.0

Event = dict[str, Any]


@dataclass(frozen=True)
class Published:
    """What is in the events topic."""

    kafka: Kafka
    topic: str
    events: list[Event]
    """The committed events as fastavro decodes them, in the topic's order in each partition."""
    records: list[tuple[bytes | None, bytes]]
    """Their keys and values."""
    aborted: int
    """The number of records in aborted transactions."""
    bodies: dict[str, list[bytes]]
    """Profile → the webhooks' bodies."""
    raw_topics: dict[str, str]
    """Profile → the raw topic."""

    def json(self) -> list[Event]:
        """Return the events in RudderStack's JSON form."""
        return [track_json(event) for event in self.events]


@contextmanager
def publish(kafka: Kafka, folder: Path) -> Iterator[Published]:
    """Run both pipelines until all events are in the topic. The services go on while the block lasts."""
    name = f"sinks-{uuid.uuid4().hex[:8]}"
    topic = f"{name}.events"
    with ExitStack() as stack:
        stack.callback(_remove_topics, kafka, name)
        services = {
            profile: stack.enter_context(Services(_settings(kafka, name, profile, folder), folder / f"logs-{profile}"))
            for profile in PROFILES
        }
        bodies: dict[str, list[bytes]] = {profile: [] for profile in PROFILES}
        for profile, service in services.items():
            payloads = [*samples.one_of_each(run=profile[:2].upper()), *awkward.payloads(profile)]
            half = len(payloads) // 2
            bodies[profile] = [json.dumps(payload).encode() for payload in payloads]
            for body in bodies[profile][:half]:
                _send(service, body)
        count = sum(len(sent) // 2 for sent in bodies.values())
        first = until(lambda: _complete(kafka, topic, count), PATIENCE_S)
        aborted = _abort(kafka, topic, [value for _, value in first[:10]])
        for profile, service in services.items():
            for body in bodies[profile][len(bodies[profile]) // 2 :]:
                _send(service, body)
        records = until(lambda: _complete(kafka, topic, sum(map(len, bodies.values()))), PATIENCE_S)
        aborted += _abort(kafka, topic, [value for _, value in records[-10:]])
        decode = decoder(kafka.registry_url)
        raw_topics = {profile: service.settings.topics.raw for profile, service in services.items()}
        yield Published(kafka, topic, [decode(value) for _, value in records], records, aborted, bodies, raw_topics)


def transformed(profile: str, bodies: list[bytes]) -> list[Event]:
    """Return what `sternpost transform` makes of the bodies: RudderStack's JSON form."""
    command = [str(STERNPOST), "transform", "--profile", profile, "--source", profile, "-"]
    done = subprocess.run(command, input=b"\n".join(bodies), capture_output=True, check=True, timeout=120)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert {line["outcome"] for line in lines} == {"event"}, lines
    return [line["event"] for line in lines]


def committed_records(kafka: Kafka, topic: str, isolation: str = "read_committed") -> list[tuple[bytes | None, bytes]]:
    """Return the keys and values of the topic, by an isolation level, up to its end."""
    consumer = Consumer(
        {
            "bootstrap.servers": kafka.bootstrap_servers,
            "group.id": f"oracle-{uuid.uuid4().hex}",
            "isolation.level": isolation,
            "enable.auto.commit": False,
            "enable.partition.eof": True,
        }
    )
    try:
        consumer.assign([TopicPartition(topic, partition, 0) for partition in range(PARTITIONS)])
        found, at_end = [], set[int | None]()
        while len(at_end) < PARTITIONS:
            message = consumer.poll(30)
            assert message is not None, "nothing to read for 30 s"
            if message.error() is not None:
                assert message.error().name() == "_PARTITION_EOF", message.error()  # type: ignore[union-attr]
                at_end.add(message.partition())
            else:
                found.append((message.key(), message.value() or b""))
        return found
    finally:
        consumer.close()


def _complete(kafka: Kafka, topic: str, count: int) -> list[tuple[bytes | None, bytes]]:
    found = committed_records(kafka, topic)
    return found if len(found) >= count else []


def _abort(kafka: Kafka, topic: str, values: list[bytes]) -> int:
    """Write the values to each partition in a transaction, abort it, and return how many records that were."""
    producer = Producer({"bootstrap.servers": kafka.bootstrap_servers, "transactional.id": f"aborting-{uuid.uuid4()}"})
    producer.init_transactions(PATIENCE_S)
    producer.begin_transaction()
    for partition in range(PARTITIONS):
        for value in values:
            producer.produce(topic, value, b"aborted", partition=partition)
    assert producer.flush(PATIENCE_S) == 0  # they are in the log: an abort would otherwise drop them from the queue
    producer.abort_transaction(PATIENCE_S)
    return PARTITIONS * len(values)


def _remove_topics(kafka: Kafka, prefix: str) -> None:
    """Remove the topics, which may be on a cluster that stays."""
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap_servers})
    names = [topic for topic in admin.list_topics(timeout=30).topics if topic.startswith(prefix)]
    for gone in admin.delete_topics(names, operation_timeout=20).values() if names else ():
        gone.exception(30)


def _send(service: Services, body: bytes) -> None:
    with urllib.request.urlopen(f"{service.url}?writeKey={WRITE_KEY}", body, timeout=30) as answer:
        assert answer.status == 200


def _settings(kafka: Kafka, name: str, profile: str, folder: Path) -> Settings:
    return Settings.model_validate(
        {
            "kafka": {"bootstrap_servers": kafka.bootstrap_servers},
            "schema_registry": {"url": kafka.registry_url},
            "topics": {
                "raw": f"{name}.{profile}.raw",
                "events": f"{name}.events",
                "dead_letters": f"{name}.{profile}.dead-letters",
                "partitions": PARTITIONS,
                "replication_factor": 1,
                "min_insync_replicas": 1,
            },
            "sources": [{"name": profile, "write_keys": [WRITE_KEY]}],
            "ingest": {
                "host": ports.HOST,
                "port": ports.choose(0, "", ""),
                "admin_port": ports.choose(0, "", ""),
                "drain_delay_ms": 0,
            },
            "processor": {
                "group_id": f"{name}.{profile}",
                "instance_id": profile,
                "profile": profile,
                "state_dir": folder / f"state-{profile}",
                "admin_port": ports.choose(0, "", ""),
            },
        }
    )
