"""The consumer group as the brokers see it, and how far it is behind."""

from typing import Any, NamedTuple

from runtime.kafka import range_consumer
from runtime.kafka.admin import KafkaAdmin
from runtime.kafka.errors import unreachable
from runtime.kafka.retry import gather_results
from runtime.settings.model import Settings
from sternpost.operations.committed_offsets import processor_offsets


class Member(NamedTuple):
    instance_id: str | None
    host: str
    partitions: list[int]


class Partition(NamedTuple):
    """One partition of the raw topic."""

    partition: int
    start: int
    """Oldest offset kept."""
    end: int
    """The last stable offset: what read_committed consumers can reach."""
    high_watermark: int
    """Above `end` where a transaction is open."""
    committed: int | None
    """The group's next offset; None where it never committed one."""
    lag: int
    """Offsets not processed, up to the last stable one; 0 if no record is among them, but only transaction markers
    and aborted records. The processor commits past these too, but may be down."""
    lag_seconds: float | None
    """Age of the oldest record not processed; None where there is none."""

    @property
    def expired(self) -> int:
        """Records that retention removed before they were processed."""
        return max(0, self.start - self.committed) if self.committed is not None else 0

    def as_json(self) -> dict[str, Any]:
        """For scripts."""
        return {
            **self._asdict(),
            "lag_seconds": None if self.lag_seconds is None else round(self.lag_seconds, 3),
            "expired": self.expired,
        }


class Group(NamedTuple):
    group_id: str
    state: str
    """Kafka's word for it: `stable`, `empty` (no members), `dead` (unknown to the cluster) …"""
    members: list[Member]


def describe(settings: Settings) -> Group:
    """Raises DependencyError where the brokers do not tell."""
    from confluent_kafka import KafkaError, KafkaException

    name = settings.processor.group_id
    admin = KafkaAdmin(settings)
    try:
        found = gather_results(
            lambda wait_s: admin.ask(lambda client: client.describe_consumer_groups([name], request_timeout=wait_s))
        )[name]
    except KafkaException as error:
        if error.args[0].code() == KafkaError.GROUP_ID_NOT_FOUND:
            return Group(name, "dead", [])
        raise unreachable(settings, error) from None
    members = [
        Member(
            member.group_instance_id,
            member.host.removeprefix("/"),
            sorted(at.partition for at in member.assignment.topic_partitions),
        )
        for member in found.members
    ]
    return Group(name, found.state.name.lower(), sorted(members, key=lambda member: str(member.instance_id)))


def partitions(settings: Settings, now_ms: int) -> list[Partition]:
    """Every partition of the raw topic. Raises DependencyError."""
    topic = settings.topics.raw
    numbers = range_consumer.topic_partitions(settings, topic)
    # Before the last stable offsets: what comes in meanwhile must not look like an open transaction.
    high = range_consumer.offsets(settings, topic, dict.fromkeys(numbers, range_consumer.FROM_END), stable=False)
    spans = range_consumer.readable_ranges(settings, topic, numbers)
    offsets = processor_offsets(settings, numbers)
    behind = [span._replace(start=max(span.start, offsets.get(span.partition, 0))) for span in spans]
    oldest = range_consumer.first_messages(settings, topic, behind)
    found = []
    for span, unprocessed in zip(spans, behind, strict=True):
        number, first = span.partition, oldest.get(span.partition)
        lag = unprocessed.offsets if first is not None else 0
        lag_seconds = max(0.0, (now_ms - first.timestamp()[1]) / 1000) if first is not None else None
        found.append(Partition(number, span.start, span.end, high[number], offsets.get(number), lag, lag_seconds))
    return found
