"""The part of a topic that a person asks for, as they write it, and the offsets that it means.

A bound is a time, an age, an offset, the beginning or the end.
"""

import re
import time
from collections.abc import Collection
from dataclasses import dataclass
from typing import NamedTuple, Self

from runtime.errors import DependencyError
from runtime.kafka import range_consumer
from runtime.kafka.range_consumer import OffsetRange
from runtime.settings.model import Settings
from schemas.customerio.lossless_json import occurred_ms
from schemas.error_codes import PayloadRejectedError
from schemas.track_event import iso

_AGE = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d|w)")
_OFFSET = re.compile(r"offset:(\d+)")
_OFFSETS = re.compile(r"\d+:\d+(?:,\d+:\d+)*")
_UNIT_MS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 7 * 86_400_000}

FORMS = "2026-11-24T03:00:00Z, 2h (ago), now"
"""Examples of times, for messages."""


class Beginning(NamedTuple):
    """The oldest record that is kept."""


class End(NamedTuple):
    """The offset after the newest committed record."""


class Time(NamedTuple):
    """The first record with this timestamp or a later one."""

    ms: int
    """Unix milliseconds."""


class Offsets(NamedTuple):
    """An offset in every partition, or in some of them."""

    every: int | None
    by_partition: dict[int, int]

    def of(self, partition: int) -> int | None:
        """Return the offset in a partition; None if the partition is not named."""
        return self.by_partition.get(partition, self.every)


RangeBound = Beginning | End | Time | Offsets


def parse_time(text: str, now_ms: int | None = None) -> int:
    """Return the Unix milliseconds of a time such as `2026-11-24T03:00:00Z`, an age such as `2h`, or `now`.

    A time without a zone is in UTC. The units of an age are `ms`, `s`, `m`, `h`, `d` and `w`; it counts back from
    `now_ms` (Unix milliseconds). Raises ValueError.
    """
    now = int(time.time() * 1000) if now_ms is None else now_ms
    if text == "now":
        return now
    if age := _AGE.fullmatch(text):
        return now - int(float(age[1]) * _UNIT_MS[age[2]])
    try:
        found = None if text.isdigit() else occurred_ms(text, "the time")
    except PayloadRejectedError:
        found = None
    if found is None:
        raise ValueError(f"{text!r} is not a time; write a time like this: {FORMS}")
    return found


def parse_bound(text: str, now_ms: int | None = None) -> RangeBound:
    """Parse `beginning`, `end`, a time as `parse_time` does, `offset:1200`, or `0:1200,3:900` (partition:offset).

    Raises ValueError.
    """
    if text == "beginning":
        return Beginning()
    if text == "end":
        return End()
    if offset := _OFFSET.fullmatch(text):
        return Offsets(int(offset[1]), {})
    if _OFFSETS.fullmatch(text):
        pairs = [pair.split(":") for pair in text.split(",")]
        return Offsets(None, {int(partition): int(offset) for partition, offset in pairs})
    try:
        return Time(parse_time(text, now_ms))
    except ValueError:
        raise ValueError(
            f"{text!r} is not a place in a topic; write a time ({FORMS}), `beginning`, `end`, `offset:1200` for every "
            "partition, or `0:1200,3:900` (partition:offset)"
        ) from None


@dataclass(frozen=True)
class RequestedRange:
    """A range as a person wrote it."""

    start: RangeBound
    end: RangeBound
    """The first record after the range."""
    text: tuple[str, str]
    """Start and end as they were written."""
    partitions: frozenset[int] = frozenset()
    """All partitions if empty."""
    skip_expired: bool = False
    """Whether to take what is left if retention has removed a part of the range."""

    @classmethod
    def parse(cls, start: str, end: str, partitions: Collection[int] = (), *, skip_expired: bool = False) -> Self:
        """Parse `start` and `end` as `parse_bound` does. Raises ValueError."""
        return cls(parse_bound(start), parse_bound(end), (start, end), frozenset(partitions), skip_expired)

    def identity(self) -> tuple[str, str, str]:
        """Return the texts that are the same for the same range as it was written."""
        return *self.text, repr(sorted(self.partitions))

    def resolve(self, settings: Settings) -> list[OffsetRange]:
        """Return the range of offsets in each partition.

        Raises DependencyError if the range is empty, or if retention has removed a part of it and `skip_expired` is not
        set.
        """
        topic = settings.topics.raw
        named = [set(at.by_partition) for at in (self.start, self.end) if isinstance(at, Offsets) and at.every is None]
        if self.partitions:
            named.append(set(self.partitions))
        partitions = set.intersection(*named) if named else None
        if partitions is not None and not partitions:
            raise DependencyError("the range and --partition name no partition in common")
        readable = range_consumer.readable_ranges(settings, topic, partitions)
        starts, ends = _offsets(settings, self.start, readable), _offsets(settings, self.end, readable)
        ranges = []
        for there in readable:
            asked = OffsetRange(there.partition, starts[there.partition], min(ends[there.partition], there.end))
            if not self.skip_expired and there.start > 0 and asked.start <= there.start < asked.end:
                _check_start_retained(topic, self.start, asked, there)
            ranges.append(asked._replace(start=max(asked.start, there.start)))
        if not any(offset_range.offsets for offset_range in ranges):
            held = ", ".join(f"{at.partition}:{at.start}…{at.end}" for at in readable)
            raise DependencyError(f"that range of {topic} is empty; its partitions hold the offsets {held}")
        return [offset_range for offset_range in ranges if offset_range.offsets]


def check_retained(settings: Settings, ranges: Collection[OffsetRange]) -> None:
    """Raise DependencyError if retention has removed the beginning of a range meanwhile."""
    topic = settings.topics.raw
    wanted = {offset_range.partition: offset_range for offset_range in ranges if offset_range.offsets}
    if not wanted:
        return
    for there in range_consumer.readable_ranges(settings, topic, wanted):
        asked = wanted[there.partition]
        if there.start > asked.start:
            raise DependencyError(
                f"retention removed {topic} {asked.partition}:{asked.start} to {there.start - 1} before it was "
                "replayed. What was committed stands. Raise retention.ms of the topic, and replay what is left with a "
                "later --from and --again"
            )


def _offsets(settings: Settings, at: RangeBound, readable: list[OffsetRange]) -> dict[int, int]:
    """Return the offset that a bound means in each partition."""
    match at:
        case Beginning():
            return {there.partition: there.start for there in readable}
        case End():
            return {there.partition: there.end for there in readable}
        case Time(ms):
            found = range_consumer.offsets(settings, settings.topics.raw, {there.partition: ms for there in readable})
            return {
                there.partition: found[there.partition] if found[there.partition] >= 0 else there.end
                for there in readable
            }
        case Offsets():
            return {there.partition: at.of(there.partition) or 0 for there in readable}


def _check_start_retained(topic: str, start: RangeBound, asked: OffsetRange, there: OffsetRange) -> None:
    """Raise DependencyError if the start by offset is gone, or if everything older than the start by time is gone.

    In the second case nobody can tell whether records of the range were removed.
    """
    if isinstance(start, Time):
        raise DependencyError(
            f"retention has removed part of the range: the oldest record of {topic} in partition {there.partition} is "
            f"at offset {there.start}, and records from {iso(start.ms)} on may have been before it. Start later, or "
            "take what is left with --skip-expired"
        )
    if not isinstance(start, Beginning) and asked.start < there.start:
        raise DependencyError(
            f"retention has removed part of the range: {topic} partition {there.partition} begins at offset "
            f"{there.start}, after {asked.start}. Start there, or take what is left with --skip-expired"
        )
