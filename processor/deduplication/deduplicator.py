"""Finds duplicates among raw records.

A record is a duplicate if an earlier record of its partition has the same key and is less than a window older.

Each record renews its key, even if it is a duplicate: an event that is sent again every few hours for a week stays a
duplicate with a window of a day. The answer therefore depends only on the records of the window before, and state that
is rebuilt from them, on any machine, gives the same answers.

Times are the records' own timestamps: when a body was received. Kafka indexes them, and brokers bound them (see
`state_store.DISORDER_MS`).

Entries follow their transaction, so an aborted one leaves no trace:

    find_duplicates() ──▶ open ──prepare_commit()──▶ committing ──commit()──▶ state store, on disk
    (being processed)       │                      (transaction under way)  (transaction committed)
                            └──────────────────────── rollback() ◀── aborted
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from processor.pipeline.records import RawRecord

SeenEntry = tuple[int, int]
"""The first known offset of a key, and its latest timestamp in Unix milliseconds."""


class StateStore(Protocol):
    """The keys of one partition of the raw topic: exactly those of its records before `next_offset`."""

    next_offset: int

    def get(self, keys: list[bytes]) -> list[SeenEntry | None]:
        """Return the entry of each key, or None."""
        ...

    def write(self, entries: Mapping[bytes, SeenEntry], next_offset: int, newest_ms: int) -> None:
        """Write all entries and the next offset, or nothing.

        `newest_ms` is the latest timestamp among the records written, in Unix milliseconds.
        """
        ...

    def disk_bytes(self) -> int:
        """Return the size of the store on disk."""
        ...

    def close(self) -> None:
        """Release the store."""
        ...


class UncommittedEntries:
    """The entries that the records of a transaction add to one partition's state."""

    __slots__ = ("entries", "newest_ms", "position")

    def __init__(self) -> None:
        self.entries: dict[bytes, SeenEntry] = {}
        self.newest_ms = 0
        self.position = 0
        """The next offset that the transaction commits; 0 until it is prepared."""


class _Partition:
    def __init__(self, state: StateStore) -> None:
        self.state = state
        self.open = UncommittedEntries()
        self.committing: UncommittedEntries | None = None


class Deduplicator:
    """Finds duplicates among the records of the partitions that this worker has."""

    def __init__(self, window_ms: int) -> None:
        """Use a window of `window_ms` milliseconds; with 0 no record is a duplicate."""
        self._window_ms = window_ms
        self._partitions: dict[int, _Partition] = {}

    def add(self, partition: int, state: StateStore) -> None:
        """Add a partition. `remove` closes its state."""
        self._partitions[partition] = _Partition(state)

    def remove(self, partition: int) -> None:
        """Remove a partition and its uncommitted entries, if it is there."""
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
                entry = entries.get(key) or committing.get(key) or entry  # noqa: PLW2901 (the newest entry counts)
                if entry is not None and timestamp_ms - entry[1] < self._window_ms and entry[0] != record.offset:
                    found[index] = entry[0]
                    entries[key] = (entry[0], max(timestamp_ms, entry[1]))
                else:
                    entries[key] = (record.offset, timestamp_ms)
                newest_ms = max(newest_ms, timestamp_ms)
            pending.newest_ms = newest_ms
        return found

    def prepare_commit(self, positions: Mapping[int, int]) -> None:
        """Mark the uncommitted entries of these partitions as part of the transaction about to commit.

        `positions` maps each partition to the next offset that the transaction commits. A partition can have only one
        such transaction at a time.
        """
        for number, position in positions.items():
            partition = self._partitions[number]
            partition.committing, partition.open = partition.open, UncommittedEntries()
            partition.committing.position = position

    def commit(self, partitions: Iterable[int]) -> None:
        """Store the entries of the committed transaction. Partitions removed meanwhile are skipped.

        Raises StateError; the partition can no longer be used then.
        """
        for number in partitions:
            partition = self._partitions.get(number)
            if partition is not None and (committing := partition.committing) is not None:
                partition.state.write(committing.entries, committing.position, committing.newest_ms)
                partition.committing = None

    def rollback(self) -> None:
        """Drop all uncommitted entries: their transactions were aborted."""
        for partition in self._partitions.values():
            partition.open = UncommittedEntries()
            partition.committing = None

    def next_offset(self, partition: int) -> int:
        """Return the offset before which a partition's state knows all records."""
        return self._partitions[partition].state.next_offset

    def disk_bytes(self) -> int:
        """Return the size of all states on disk."""
        return sum(partition.state.disk_bytes() for partition in self._partitions.values())

    @property
    def partitions(self) -> frozenset[int]:
        """The partitions that this worker has."""
        return frozenset(self._partitions)
