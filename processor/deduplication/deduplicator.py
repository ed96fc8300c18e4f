"""Deduplication: a record is a duplicate if its partition holds an earlier one with the same key, dated less than a
window before it.

So each record, duplicates included, renews its key: an event that is sent again every few hours for a week stays a
duplicate with a window of a day. And so the answer depends on nothing but the records of one window before: state that
is rebuilt from there, on any machine, gives the same answers.

Times are the records' own timestamps, which Kafka indexes and brokers bound (see `state.DISORDER_MS`), and which are
when a body was received.

What is remembered goes from hand to hand as its transaction does, so an aborted one leaves no trace:

    find_duplicates() ──▶ open ──prepare_commit()──▶ committing ──commit()──▶ state store, on disk
    (being processed)       │                      (transaction under way)  (transaction committed)
                            └──────────────────────── rollback() ◀── aborted
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from processor.pipeline.records import RawRecord

SeenEntry = tuple[int, int]
"""The first offset known, and the latest timestamp in Unix milliseconds."""


class StateStore(Protocol):
    """What is remembered of one partition of the raw topic: exactly its records before `next_offset`."""

    next_offset: int

    def get(self, keys: list[bytes]) -> list[SeenEntry | None]: ...

    def write(self, entries: Mapping[bytes, SeenEntry], next_offset: int, newest_ms: int) -> None:
        """All of it or nothing, whatever happens. `newest_ms`: the latest timestamp among the records written."""
        ...

    def disk_bytes(self) -> int: ...

    def close(self) -> None: ...


class UncommittedEntries:
    """What the records of a transaction add to one partition's state."""

    __slots__ = ("entries", "newest_ms", "position")

    def __init__(self) -> None:
        self.entries: dict[bytes, SeenEntry] = {}
        self.newest_ms = 0
        self.position = 0
        """The offset after the last of these records, once they are committing."""


class _Partition:
    def __init__(self, state: StateStore) -> None:
        self.state = state
        self.open = UncommittedEntries()
        self.committing: UncommittedEntries | None = None


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

    def find_duplicates(self, records: Sequence[RawRecord], keys: Sequence[bytes]) -> list[int | None]:
        """Return the offset of each record's first occurrence, or None for a new one: a `DuplicateIndex`.

        Each record's partition must have been added. No record may be passed twice.
        """
        found: list[int | None] = [None] * len(records)
        if not self._window_ms:
            return found
        by_partition: defaultdict[int, list[int]] = defaultdict(list)
        for index, record in enumerate(records):
            by_partition[record.partition].append(index)
        for number, indexes in by_partition.items():
            partition = self._partitions[number]
            pending = partition.open
            entries = pending.entries
            committing = partition.committing.entries if partition.committing else {}
            stored = partition.state.get([keys[index] for index in indexes])
            newest_ms = pending.newest_ms
            for index, entry in zip(indexes, stored, strict=True):
                key = keys[index]
                record = records[index]
                timestamp_ms = record.timestamp_ms
                entry = entries.get(key) or committing.get(key) or entry  # noqa: PLW2901 (the newest counts)
                if entry is not None and timestamp_ms - entry[1] < self._window_ms and entry[0] != record.offset:
                    found[index] = entry[0]
                    entries[key] = (entry[0], max(timestamp_ms, entry[1]))
                else:
                    entries[key] = (record.offset, timestamp_ms)
                newest_ms = max(newest_ms, timestamp_ms)
            pending.newest_ms = newest_ms
        return found

    def prepare_commit(self, positions: Mapping[int, int]) -> None:
        """What is open of these partitions belongs to a transaction that moves the group there, one at a time each."""
        for number, position in positions.items():
            partition = self._partitions[number]
            partition.committing, partition.open = partition.open, UncommittedEntries()
            partition.committing.position = position

    def commit(self, partitions: Iterable[int]) -> None:
        """The committing transaction of these partitions was committed. Partitions given up meanwhile are passed over.

        Raises StateError; the partition is of no more use then.
        """
        for number in partitions:
            partition = self._partitions.get(number)
            if partition is not None and (committing := partition.committing) is not None:
                partition.state.write(committing.entries, committing.position, committing.newest_ms)
                partition.committing = None

    def rollback(self) -> None:
        """What was not settled was aborted."""
        for partition in self._partitions.values():
            partition.open = UncommittedEntries()
            partition.committing = None

    def next_offset(self, partition: int) -> int:
        """The offset that a partition's state knows all records before."""
        return self._partitions[partition].state.next_offset

    def disk_bytes(self) -> int:
        """What the states take up on disk."""
        return sum(partition.state.disk_bytes() for partition in self._partitions.values())

    @property
    def partitions(self) -> frozenset[int]:
        return frozenset(self._partitions)
