"""Where letters lie and what they have in common, in some thirty bytes each: a topic may hold millions of them."""

import heapq
from array import array
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator
from typing import NamedTuple

from runtime.kafka.range_consumer import OffsetRange
from sternpost.operations.dead_letters.letter import DeadLetterRecord


class GroupKey(NamedTuple):
    """What letters are counted by."""

    code: str
    source: str
    field: str | None


class DeadLetterEntry(NamedTuple):
    """One letter."""

    partition: int
    offset: int
    failed_at_ms: int
    """Unix milliseconds."""
    received_at_ms: int
    kind: GroupKey
    attempt: int
    redriven: bool


class DeadLetterIndex:
    """Letters by their places."""

    def __init__(self) -> None:
        self._partitions: dict[int, _Partition] = {}
        self._kinds: list[GroupKey] = []
        self._number_of: dict[GroupKey, int] = {}

    def __len__(self) -> int:
        return sum(len(partition.offsets) for partition in self._partitions.values())

    def __iter__(self) -> Iterator[DeadLetterEntry]:
        """By partition, each in order."""
        for number, partition in self._partitions.items():
            for at in range(len(partition.offsets)):
                yield self._entry(number, partition, at)

    def add(self, letter: DeadLetterRecord) -> None:
        """Behind those that are there of its partition."""
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
        """Where the letter is not here, nothing happens."""
        found = self._partitions.get(partition)
        if found is not None and (at := found.find(offset)) is not None:
            found.redriven[at] = True

    def get(self, partition: int, offset: int) -> DeadLetterEntry | None:
        """The letter at that place, if it is here."""
        found = self._partitions.get(partition)
        at = found.find(offset) if found is not None else None
        return None if found is None or at is None else self._entry(partition, found, at)

    def where(self, condition: Callable[[DeadLetterEntry], bool]) -> "DeadLetterIndex":
        """Those that the condition is true of."""
        chosen = DeadLetterIndex()
        for entry in self:
            if condition(entry):
                chosen._add(entry)
        return chosen

    def newest(self, most: int) -> "DeadLetterIndex":
        """So many at most, by when they failed; 0: all."""
        if not most:
            return self
        newest = heapq.nlargest(most, self, key=lambda entry: (entry.failed_at_ms, entry.partition, entry.offset))
        chosen = DeadLetterIndex()
        for entry in sorted(newest):
            chosen._add(entry)
        return chosen

    def by_code_and_source(self) -> Counter[tuple[str, str]]:
        """How many of each."""
        numbers: Counter[int] = Counter()
        for partition in self._partitions.values():
            numbers.update(partition.kinds)
        counts: Counter[tuple[str, str]] = Counter()
        for number, count in numbers.items():
            kind = self._kinds[number]
            counts[kind.code, kind.source] += count
        return counts

    def by_code(self) -> Counter[str]:
        """How many of each."""
        codes: Counter[str] = Counter()
        for (code, _), count in self.by_code_and_source().items():
            codes[code] += count
        return codes

    def spans(self) -> list[OffsetRange]:
        """From the first to the last of each partition."""
        return [
            OffsetRange(number, partition.offsets[0], partition.offsets[-1] + 1)
            for number, partition in self._partitions.items()
        ]

    def _add(self, entry: DeadLetterEntry) -> None:
        number = self._number_of.setdefault(entry.kind, len(self._kinds))
        if number == len(self._kinds):
            self._kinds.append(entry.kind)
        self._partitions.setdefault(entry.partition, _Partition()).append(entry, number)

    def _entry(self, number: int, partition: "_Partition", at: int) -> DeadLetterEntry:
        return DeadLetterEntry(
            number,
            partition.offsets[at],
            partition.failed_at_ms[at],
            partition.received_at_ms[at],
            self._kinds[partition.kinds[at]],
            partition.attempts[at],
            bool(partition.redriven[at]),
        )


class _Partition:
    """Column by column; offsets ascend."""

    __slots__ = ("attempts", "failed_at_ms", "kinds", "offsets", "received_at_ms", "redriven")

    def __init__(self) -> None:
        self.offsets = array("q")
        self.failed_at_ms = array("q")
        self.received_at_ms = array("q")
        self.kinds = array("I")
        self.attempts = array("Q")  # what a header says, and so anything that is a number
        self.redriven = bytearray()

    def append(self, entry: DeadLetterEntry, kind: int) -> None:
        self.offsets.append(entry.offset)
        self.failed_at_ms.append(entry.failed_at_ms)
        self.received_at_ms.append(entry.received_at_ms)
        self.kinds.append(kind)
        self.attempts.append(entry.attempt)
        self.redriven.append(entry.redriven)

    def find(self, offset: int) -> int | None:
        at = bisect_left(self.offsets, offset)
        return at if at < len(self.offsets) and self.offsets[at] == offset else None
