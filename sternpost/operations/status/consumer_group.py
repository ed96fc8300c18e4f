"""The processor's consumer group as the brokers see it, and its lag."""

from collections.abc import Iterable
from typing import Any, NamedTuple

from runtime.errors import KafkaRequestError
from runtime.kafka import range_consumer
from runtime.kafka.admin import KafkaAdmin
from runtime.kafka.group_offsets import GroupOffsets
from runtime.settings.model import Settings


class GroupMember(NamedTuple):
    """One member of the group."""

    instance_id: str | None
    host: str
    partitions: list[int]


class PartitionStatus(NamedTuple):
    """One partition of the raw topic."""

    partition: int
    start: int
    """The oldest offset that is kept."""
    end: int
    """The last stable offset: what read_committed consumers can reach."""
    high_watermark: int
    """Above `end` while a transaction is open."""
    committed: int | None
    """The offset that the group has committed; None if it never did."""
    lag: int
    """Unprocessed offsets up to the last stable one; 0 if they hold only transaction markers and aborted records."""
    lag_seconds: float | None
    """The age of the oldest unprocessed record; None if there is none."""

    @property
    def expired(self) -> int:
        """The number of records that retention removed before they were processed."""
        return max(0, self.start - self.committed) if self.committed is not None else 0

    def as_json(self) -> dict[str, Any]:
        """Return the partition as JSON for scripts."""
        return {
            **self._asdict(),
            "lag_seconds": None if self.lag_seconds is None else round(self.lag_seconds, 3),
            "expired": self.expired,
        }


class ConsumerGroup(NamedTuple):
    """The group and its members."""

    group_id: str
    state: str
    """Kafka's name of the state: `stable`, `empty` (no members), `dead` (unknown to the cluster) …"""
    members: list[GroupMember]


def describe(settings: Settings, admin: KafkaAdmin | None = None) -> ConsumerGroup:
    """Return the group. Raises DependencyError."""
    name = settings.processor.group_id
    try:
        found = (admin or KafkaAdmin(settings)).describe_group(name)
    except KafkaRequestError as error:
        if error.name == "GROUP_ID_NOT_FOUND":
            return ConsumerGroup(name, "dead", [])
        raise
    members = [
        GroupMember(
            member.group_instance_id,
            member.host.removeprefix("/"),
            sorted(at.partition for at in member.assignment.topic_partitions),
        )
        for member in found.members
    ]
    return ConsumerGroup(name, found.state.name.lower(), sorted(members, key=lambda member: str(member.instance_id)))


def partitions(settings: Settings, now_ms: int, admin: KafkaAdmin | None = None) -> list[PartitionStatus]:
    """Return every partition of the raw topic; `now_ms` is in Unix milliseconds. Raises DependencyError."""
    topic, admin = settings.topics.raw, admin or KafkaAdmin(settings)
    numbers = range_consumer.topic_partitions(settings, topic, admin)
    # Before the last stable offsets: a record that arrives in between must not look like an open transaction.
    high = admin.offsets(topic, dict.fromkeys(numbers, range_consumer.FROM_END), stable=False)
    ranges = range_consumer.readable_ranges(settings, topic, numbers, admin)
    offsets = processor_offsets(settings, numbers)
    behind = [there._replace(start=max(there.start, offsets.get(there.partition, 0))) for there in ranges]
    oldest = range_consumer.first_messages(settings, topic, behind)
    found = []
    for there, unprocessed in zip(ranges, behind, strict=True):
        number, first = there.partition, oldest.get(there.partition)
        lag = unprocessed.offsets if first is not None else 0
        lag_seconds = max(0.0, (now_ms - first.timestamp()[1]) / 1000) if first is not None else None
        found.append(
            PartitionStatus(number, there.start, there.end, high[number], offsets.get(number), lag, lag_seconds)
        )
    return found


def processor_offsets(settings: Settings, partitions: Iterable[int]) -> dict[int, int]:
    """Return the offset that the processor's group has committed for each partition of the raw topic, if it has one.

    Raises DependencyError.
    """
    with GroupOffsets(settings, settings.processor.group_id) as group:
        found = group.committed(settings.topics.raw, partitions)
    return {partition: at.offset for partition, at in found.items()}
