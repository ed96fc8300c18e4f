"""Deduplication: a record is a duplicate if its partition holds an earlier one with the same key, dated less than a
window before it.

So each record, duplicates included, renews its key: an event that is sent again every few hours for a week stays a
duplicate with a window of a day. And so the answer depends on nothing but the records of one window before: state that
is rebuilt from there, on any machine, gives the same answers.

Times are the records' own timestamps, which Kafka indexes and brokers bound (see `state.DISORDER_MS`), and which are
when a body was received.

What is remembered goes from hand to hand as its transaction does, so an aborted one leaves no trace:

    first_offsets() ──▶ open ──seal()──▶ sealed ──settle()──▶ state, on disk
    (being processed)    │   (commit under way)     (committed)
                         └──────── forget() ◀── aborted
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from processor.pipeline.records import RawRecord

SeenEntry = tuple[int, int]
"""The first offset known, and the latest timestamp in Unix milliseconds."""


class StateStore(Protocol):
    """What is remembered of one partition of the raw topic: exactly its records before `complete_up_to`."""

    complete_up_to: int

    def get(self, keys: list[bytes]) -> list[SeenEntry | None]: ...

    def write(self, memories: Mapping[bytes, SeenEntry], complete_up_to: int, newest_ms: int) -> None:
        """All of it or nothing, whatever happens. `newest_ms`: the latest timestamp among the records written."""
        ...

    def disk_bytes(self) -> int: ...

    def close(self) -> None: ...


class UncommittedEntries:
    """What the records of a transaction add to one partition's state."""

    __slots__ = ("memories", "newest_ms", "position")

    def __init__(self) -> None:
        self.memories: dict[bytes, SeenEntry] = {}
        self.newest_ms = 0
        self.position = 0
        """The offset after the last of these records, once they are sealed."""


class _Partition:
    def __init__(self, state: StateStore) -> None:
        self.state = state
        self.open = UncommittedEntries()
        self.sealed: UncommittedEntries | None = None


class Deduplicator:
    """Remembers the records of the partitions this worker has."""

    def __init__(self, window_ms: int) -> None:
        self._window_ms = window_ms
        self._partitions: dict[int, _Partition] = {}

    def add(self, partition: int, state: StateStore) -> None:
        """Takes a partition on; the state is closed with it."""
        self._partitions[partition] = _Partition(state)

    def remove(self, partition: int) -> None:
        """Gives a partition up; what was not settled of it is forgotten."""
        if (removed := self._partitions.pop(partition, None)) is not None:
            removed.state.close()

    def first_offsets(self, records: Sequence[RawRecord], keys: Sequence[bytes]) -> list[int | None]:
        """See `core.Seen`. Each record's partition must have been added, and its offset not be met yet."""
        found: list[int | None] = [None] * len(records)
        if not self._window_ms:
            return found
        by_partition: defaultdict[int, list[int]] = defaultdict(list)
        for index, record in enumerate(records):
            by_partition[record.partition].append(index)
        for number, indexes in by_partition.items():
            partition = self._partitions[number]
            pending = partition.open
            memories = pending.memories
            sealed = partition.sealed.memories if partition.sealed else {}
            stored = partition.state.get([keys[index] for index in indexes])
            newest_ms = pending.newest_ms
            for index, memory in zip(indexes, stored, strict=True):
                key = keys[index]
                record = records[index]
                timestamp_ms = record.timestamp_ms
                memory = memories.get(key) or sealed.get(key) or memory  # noqa: PLW2901 (the newest counts)
                if memory is not None and timestamp_ms - memory[1] < self._window_ms and memory[0] != record.offset:
                    found[index] = memory[0]
                    memories[key] = (memory[0], max(timestamp_ms, memory[1]))
                else:
                    memories[key] = (record.offset, timestamp_ms)
                newest_ms = max(newest_ms, timestamp_ms)
            pending.newest_ms = newest_ms
        return found

    def seal(self, positions: Mapping[int, int]) -> None:
        """What is open of these partitions belongs to a transaction that moves the group there, one at a time each."""
        for number, position in positions.items():
            partition = self._partitions[number]
            partition.sealed, partition.open = partition.open, UncommittedEntries()
            partition.sealed.position = position

    def settle(self, partitions: Iterable[int]) -> None:
        """The sealed transaction of these partitions was committed. Partitions given up meanwhile are passed over.

        Raises StateError; the partition is of no more use then.
        """
        for number in partitions:
            partition = self._partitions.get(number)
            if partition is not None and (sealed := partition.sealed) is not None:
                partition.state.write(sealed.memories, sealed.position, sealed.newest_ms)
                partition.sealed = None

    def forget(self) -> None:
        """What was not settled was aborted."""
        for partition in self._partitions.values():
            partition.open = UncommittedEntries()
            partition.sealed = None

    def complete_up_to(self, partition: int) -> int:
        """The offset that a partition's state knows all records before."""
        return self._partitions[partition].state.complete_up_to

    def disk_bytes(self) -> int:
        """What the states take up on disk."""
        return sum(partition.state.disk_bytes() for partition in self._partitions.values())

    @property
    def partitions(self) -> frozenset[int]:
        return frozenset(self._partitions)
