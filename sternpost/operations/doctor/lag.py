"""Check that the processor runs, and is fast enough to process records before retention removes them."""

import time
from collections.abc import Iterator

from runtime.errors import DependencyError
from runtime.kafka import range_consumer
from runtime.kafka.admin import KafkaAdmin
from runtime.settings.model import Settings
from sternpost.operations import topics
from sternpost.operations.doctor.check import Check, fault, ok, skipped, warning
from sternpost.operations.status import consumer_group

SAFE = 0.5
"""The share of the raw topic's retention that the processor may be behind without a warning."""


def check(settings: Settings) -> Iterator[Check]:
    """Check the group and its lag. It reads one record of each partition at most, and else only offsets."""
    admin = KafkaAdmin(settings)
    try:
        group = consumer_group.describe(settings, admin)
    except DependencyError as error:
        yield skipped("processor", f"its group cannot be seen: {error}")
        return
    if not group.members:
        yield warning("processor", f"the group {group.group_id} has no members", "start `sternpost process`")
    else:
        yield ok("processor", f"the group {group.group_id} is {group.state}, with {len(group.members)} at work")
    try:
        partitions = consumer_group.partitions(settings, time.time_ns() // 1_000_000, admin)
        kept = [range_consumer.OffsetRange(p.partition, p.start, p.end) for p in partitions]
        positions = {p.partition: p.end - p.lag for p in partitions}
        problems = [
            *_removed(settings, sum(p.expired for p in partitions)),
            *_late(settings, kept, positions),
        ]
    except DependencyError as error:
        yield skipped("lag", f"it cannot be seen: {error}")
        return
    behind = sum(p.lag for p in partitions)
    yield from problems or [ok("lag", f"{behind} records behind, and none in danger of retention")]


def _removed(settings: Settings, expired: int) -> Iterator[Check]:
    if expired:
        yield fault(
            "lag",
            f"retention removed {expired} records of {settings.topics.raw} before they were processed",
            "ask Customer.io for its export of that time, and raise topics.raw_retention_ms",
        )


def _late(settings: Settings, kept: list[range_consumer.OffsetRange], positions: dict[int, int]) -> Iterator[Check]:
    raw = settings.topics.raw
    raw_ms = topics.retention_ms(settings, raw)
    if raw_ms is not None and raw_ms > 0 and _older_than(settings, kept, positions, int(raw_ms * SAFE)):
        yield warning(
            "lag",
            f"there are unprocessed records older than {SAFE:.0%} of the retention of {raw}: they are lost if the "
            "processor does not reach them in time",
            f"start or add processors, and raise retention.ms of {raw} meanwhile",
        )


def _older_than(
    settings: Settings, kept: list[range_consumer.OffsetRange], positions: dict[int, int], age_ms: int
) -> bool:
    since = time.time_ns() // 1_000_000 - age_ms
    younger = range_consumer.offsets(settings, settings.topics.raw, {there.partition: since for there in kept})
    return any(
        positions[there.partition] < (younger[there.partition] if younger[there.partition] >= 0 else there.end)
        for there in kept
    )
