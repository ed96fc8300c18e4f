"""Collect everything that `sternpost status` shows."""

import time
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

from runtime import metrics
from runtime.errors import SternpostError
from runtime.kafka import range_consumer
from runtime.kafka.admin import KafkaAdmin
from runtime.schema_registry import Registry, events_subject
from runtime.settings.model import Settings
from schemas.avro.wire_format import split
from schemas.track_event import iso, load_schema
from sternpost.operations.status import consumer_group, dead_letters, service

DUPLICATES = metrics.PROCESSOR_DUPLICATES.name


class SchemaStatus(NamedTuple):
    """This version's schema in the registry, and the schema of the newest event."""

    subject: str
    id: int | None
    """None if the registry does not have this version's schema, or does not answer."""
    version: int | None
    newest_event_id: int | None
    """The schema id of the newest event in the topic; None if there is no event."""
    problem: str | None


class Throughput(NamedTuple):
    """Raw records a second between two snapshots."""

    received: float
    processed: float
    interval_s: float


@dataclass(frozen=True)
class Snapshot:
    """The state of the pipeline at one time."""

    at_ms: int
    """Unix milliseconds."""
    cluster_id: str
    brokers: int
    group: consumer_group.ConsumerGroup
    partitions: list[consumer_group.PartitionStatus]
    throughput: Throughput | None
    dead_letters: dead_letters.DeadLetterCounts
    schema: SchemaStatus
    services: list[service.ServiceStatus]

    @property
    def lag(self) -> int:
        """The number of unprocessed offsets in all partitions."""
        return sum(partition.lag for partition in self.partitions)

    @property
    def lag_seconds(self) -> float | None:
        """The age of the oldest unprocessed record, in seconds; None if there is none."""
        return max((p.lag_seconds for p in self.partitions if p.lag_seconds is not None), default=None)

    @property
    def duplicates(self) -> int | None:
        """Duplicates since the processor on this machine started; None if it does not answer."""
        [processor] = [found for found in self.services if found.name == "processor"]
        return int(processor.totals.get(DUPLICATES, 0)) if processor.reachable else None

    def as_json(self) -> dict[str, Any]:
        """Return the snapshot as JSON for scripts."""
        return {
            "at": iso(self.at_ms),
            "cluster": {"id": self.cluster_id, "brokers": self.brokers},
            "group": {
                "id": self.group.group_id,
                "state": self.group.state,
                "members": [member._asdict() for member in self.group.members],
            },
            "lag": {
                "records": self.lag,
                "seconds": None if self.lag_seconds is None else round(self.lag_seconds, 3),
            },
            "partitions": [partition.as_json() for partition in self.partitions],
            "throughput": self.throughput
            and {
                "received_per_s": round(self.throughput.received, 2),
                "processed_per_s": round(self.throughput.processed, 2),
                "interval_s": round(self.throughput.interval_s, 3),
            },
            "dead_letters": self.dead_letters.as_json(),
            "duplicates": self.duplicates,
            "schema": self.schema._asdict(),
            "services": {found.name: found.as_json() for found in self.services},
        }


class StatusCollector:
    """Collects snapshots of one pipeline, and reads each dead letter once."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._letters = dead_letters.DeadLetterCounter(settings)
        self._before: tuple[float, int, int] | None = None

    def collect(self) -> Snapshot:
        """Return a snapshot. Raises DependencyError if the brokers do not answer; other failures are in the result."""
        settings = self._settings
        now_ms = time.time_ns() // 1_000_000
        admin = KafkaAdmin(settings)
        cluster = admin.metadata()
        # First: without the right to the group, the client would ask for its offsets until it gives up.
        group = consumer_group.describe(settings, admin)
        partitions = consumer_group.partitions(settings, now_ms, admin)
        throughput = self._throughput(partitions)
        letters = self._letters.count(admin)
        return Snapshot(
            at_ms=now_ms,
            cluster_id=cast("str | None", cluster.cluster_id) or "unknown",
            brokers=len(cluster.brokers),
            group=group,
            partitions=partitions,
            throughput=throughput,
            dead_letters=letters,
            schema=self._schema(admin),
            services=service.fetch_statuses(settings),
        )

    def _throughput(self, partitions: list[consumer_group.PartitionStatus]) -> Throughput | None:
        """Return the rates since the last snapshot; a partition without a committed offset counts from its start."""
        now = time.monotonic()
        ends = sum(partition.high_watermark for partition in partitions)
        done = sum(partition.end - partition.lag for partition in partitions)
        before, self._before = self._before, (now, ends, done)
        if before is None:
            return None
        then, ends_then, done_then = before
        seconds = now - then
        return Throughput((ends - ends_then) / seconds, (done - done_then) / seconds, seconds)

    def _schema(self, admin: KafkaAdmin) -> SchemaStatus:
        settings = self._settings
        subject = events_subject(settings, load_schema())
        newest = _newest_schema_id(settings, admin)
        registry = Registry(settings.schema_registry)  # a wrong setting ends the command
        try:
            with registry:
                found = registry.lookup(subject, load_schema())
        except SternpostError as error:
            return SchemaStatus(subject, None, None, newest, str(error))
        return SchemaStatus(subject, found.id, found.version, newest, None)


def _newest_schema_id(settings: Settings, admin: KafkaAdmin) -> int | None:
    """Return the highest schema id at the ends of all partitions."""
    topic = settings.topics.events
    # The last few offsets: the very last may be a transaction's marker, and no record.
    ends = [
        there._replace(start=max(there.start, there.end - 10))
        for there in range_consumer.readable_ranges(settings, topic, admin=admin)
    ]
    ids = []
    for messages in range_consumer.read_ranges(settings, topic, ends):
        for message in messages:
            try:
                ids.append(split(message.value() or b"").schema_id)
            except ValueError:
                continue
    return max(ids, default=None)
