"""An index of dead letters in some thirty bytes each, since a topic may hold millions of them."""

import heapq
from array import array
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from runtime.kafka.range_consumer import OffsetRange
from sternpost.operations.dead_letters.record import DeadLetterRecord


class GroupKey(NamedTuple):
    """What dead letters are counted by."""

    code: str
    source: str
    field: str | None


class DeadLetterEntry(NamedTuple):
    """One dead letter of the index."""

    partition: int
    offset: int
    failed_at_ms: int
    """Unix milliseconds."""
    received_at_ms: int
    """Unix milliseconds."""
    group: GroupKey
    attempt: int
    redriven: bool


class DeadLetterIndex:
    """Dead letters by partition and offset."""

    def __init__(self) -> None:
        self._partitions: dict[int, _Partition] = {}
        self._groups: list[GroupKey] = []
        self._number_of: dict[GroupKey, int] = {}

    def __len__(self) -> int:
        return sum(len(partition.offsets) for partition in self._partitions.values())

    def __iter__(self) -> Iterator[DeadLetterEntry]:
        """Iterate by partition, and by offset within each."""
        for number, partition in self._partitions.items():
            for at in range(len(partition.offsets)):
                yield self._entry(number, partition, at)

    def add(self, letter: DeadLetterRecord) -> None:
        """Add a dead letter, whose offset is higher than those of its partition so far."""
        self._add(
            DeadLetterEntry(
                letter.partition,
                letter.offset,
                letter.failed_at_ms,
                letter.received_at_ms,
                GroupKey(letter.code, letter.source, letter.field),
                letter.attempt,
                letter.redriven,
            )
        )

    def mark_redriven(self, partition: int, offset: int) -> None:
        """Mark a dead letter as sent back, if the index has it."""
        found = self._partitions.get(partition)
        if found is not None and (at := found.find(offset)) is not None:
            found.redriven[at] = True

    def get(self, partition: int, offset: int) -> DeadLetterEntry | None:
        """Return the dead letter at that offset; None if the index does not have it."""
        found = self._partitions.get(partition)
        at = found.find(offset) if found is not None else None
        return None if found is None or at is None else self._entry(partition, found, at)

    def forget_before(self, partition: int, offset: int) -> None:
        """Remove the dead letters of a partition below an offset."""
        if (found := self._partitions.get(partition)) is not None:
            found.forget_before(offset)
            if not found.offsets:
                del self._partitions[partition]

    def forget_oldest(self, partition: int, most: int) -> int:
        """Remove all but the `most` newest of a partition; return the offset after those that went, or 0."""
        found = self._partitions.get(partition)
        if found is None or len(found.offsets) <= most:
            return 0
        after = found.offsets[-most - 1] + 1
        self.forget_before(partition, after)
        return after

    def where(self, condition: Callable[[DeadLetterEntry], bool]) -> "DeadLetterIndex":
        """Return an index of those that the condition is true for."""
        chosen = DeadLetterIndex()
        for entry in self:
            if condition(entry):
                chosen._add(entry)
        return chosen

    def newest(self, most: int, skip: int = 0) -> "DeadLetterIndex":
        """Return an index of the `most` that failed last, 0 for all, before the `skip` that failed after them."""
        if not most and not skip:
            return self
        newest = heapq.nlargest(
            skip + (most or len(self)), self, key=lambda entry: (entry.failed_at_ms, entry.partition, entry.offset)
        )
        chosen = DeadLetterIndex()
        for entry in sorted(newest[skip:]):
            chosen._add(entry)
        return chosen

    def by_code_and_source(self) -> Counter[tuple[str, str]]:
        """Count the dead letters by code and source."""
        return self._named(number for partition in self._partitions.values() for number in partition.groups)

    def open_by_code_and_source(self) -> Counter[tuple[str, str]]:
        """Count those that were not sent back by code and source."""
        return self._named(
            number
            for partition in self._partitions.values()
            for number, redriven in zip(partition.groups, partition.redriven, strict=True)
            if not redriven
        )

    def by_code(self) -> Counter[str]:
        """Count the dead letters by code."""
        return sum_by_code(self.by_code_and_source())

    def ranges(self) -> list[OffsetRange]:
        """Return the range of each partition from its first to its last dead letter."""
        return [
            OffsetRange(number, partition.offsets[0], partition.offsets[-1] + 1)
            for number, partition in self._partitions.items()
        ]

    def _named(self, numbers: Iterable[int]) -> Counter[tuple[str, str]]:
        """Count groups, given by number, by code and source."""
        counts: Counter[tuple[str, str]] = Counter()
        for number, count in Counter(numbers).items():
            group = self._groups[number]
            counts[group.code, group.source] += count
        return counts

    def _add(self, entry: DeadLetterEntry) -> None:
        number = self._number_of.setdefault(entry.group, len(self._groups))
        if number == len(self._groups):
            self._groups.append(entry.group)
        self._partitions.setdefault(entry.partition, _Partition()).append(entry, number)

    def _entry(self, number: int, partition: "_Partition", at: int) -> DeadLetterEntry:
        return DeadLetterEntry(
            number,
            partition.offsets[at],
            partition.failed_at_ms[at],
            partition.received_at_ms[at],
            self._groups[partition.groups[at]],
            partition.attempts[at],
            bool(partition.redriven[at]),
        )


def sum_by_code(counts: Counter[tuple[str, str]]) -> Counter[str]:
    """Add up counts by code and source to counts by code."""
    codes: Counter[str] = Counter()
    for (code, _), count in counts.items():
        codes[code] += count
    return codes


class _Partition:
    """The dead letters of one partition in columns, by ascending offset."""

    __slots__ = ("attempts", "failed_at_ms", "groups", "offsets", "received_at_ms", "redriven")

    def __init__(self) -> None:
        self.offsets = array("q")
        self.failed_at_ms = array("q")
        self.received_at_ms = array("q")
        self.groups = array("I")
        self.attempts = array("Q")  # from a header, which may hold any number
        self.redriven = bytearray()

    def append(self, entry: DeadLetterEntry, group: int) -> None:
        self.offsets.append(entry.offset)
        self.failed_at_ms.append(entry.failed_at_ms)
        self.received_at_ms.append(entry.received_at_ms)
        self.groups.append(group)
        self.attempts.append(entry.attempt)
        self.redriven.append(entry.redriven)

    def forget_before(self, offset: int) -> None:
        below = bisect_left(self.offsets, offset)
        for name in self.__slots__:
            del getattr(self, name)[:below]

    def find(self, offset: int) -> int | None:
        at = bisect_left(self.offsets, offset)
        return at if at < len(self.offsets) and self.offsets[at] == offset else None
