"""Kafka in memory, as far as the processor's source, sink and history need it; with faults on demand.

One raw topic, one group, transactions with fencing, read committed. Assignments change when a test says so. What a
fault does is what the brokers would have done: a commit whose answer is lost has taken place, or has not.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from processor.records import DeadLetter, Event, Headers, Outcome, RawRecord
from processor.transport import Aborted, Broken, Listener

Fault = Callable[[str], str | None]
"""Asked before each step (`begin`, `write`, `commit`, `abort`, `committed`): None, or what goes wrong:
`aborted`, `broken`, or for a commit `lost answer` (it took place all the same)."""


class Written(NamedTuple):
    """A record of the output topics."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Headers


@dataclass
class Transaction:
    epoch: int
    records: list[Written] = field(default_factory=list)


class FakeKafka:
    """The brokers."""

    def __init__(self, partitions: int) -> None:
        self.raw: list[list[RawRecord]] = [[] for _ in range(partitions)]
        self.output: list[Written] = []
        """Committed records, in the order of their transactions."""
        self.offsets: dict[int, int] = {}
        self.generation = 0
        self.owners: dict[int, FakeSource] = {}
        self.epochs: dict[str, int] = {}
        self.open: dict[str, Transaction] = {}
        self.fault: Fault = lambda _: None

    def append(self, record: RawRecord) -> None:
        """To its partition; the offset is given here."""
        log = self.raw[record.partition]
        log.append(record._replace(offset=len(log)))

    def assign(self, share: Mapping["FakeSource", Collection[int]]) -> None:
        """The group's new assignment; members learn of it when they poll."""
        self.generation += 1
        for member, partitions in share.items():
            member.share = set(partitions)

    def commit(self, transactional_id: str, epoch: int, offsets: Mapping[int, int], metadata: "Membership") -> None:
        transaction = self.open.get(transactional_id)
        if self.epochs[transactional_id] != epoch or transaction is None:
            raise Broken("_FENCED")
        if metadata.generation != self.generation:
            raise Aborted("ILLEGAL_GENERATION")
        self.output += transaction.records
        self.offsets.update(offsets)
        del self.open[transactional_id]


class Membership(NamedTuple):
    generation: int


class FakeSource:
    """One member."""

    def __init__(self, kafka: FakeKafka, listener: Listener, batch: int = 5) -> None:
        self._kafka = kafka
        self._listener = listener
        self._batch = batch
        self._generation = 0
        self._positions: dict[int, int] = {}
        self._running: set[int] = set()
        self.share: set[int] = set()
        self.is_member = False
        self.lose = False
        """The next poll finds that the session has timed out."""

    def poll(self, timeout_s: float, gather: Callable[[], bool]) -> list[RawRecord]:
        del timeout_s, gather
        if self.lose:
            self.lose, gone = False, sorted(self._positions)
            self._forget(gone)
            self.is_member = False
            self._listener.lost(gone)
        self._generation = self._kafka.generation
        if gone := sorted(self._positions.keys() - self.share):
            self._listener.revoked(gone)
            self._forget(gone)
        # As the group's protocol has it: a partition is given on once its owner has given it up.
        free = [p for p in sorted(self.share - self._positions.keys()) if self._kafka.owners.get(p, self) is self]
        if free or not self.is_member:
            self.is_member = True
            positions = self.committed(free)
            self._positions |= positions
            self._kafka.owners |= dict.fromkeys(free, self)
            self._listener.assigned(positions)
        batch: list[RawRecord] = []
        for partition in sorted(self._running & self._positions.keys()):
            start = self._positions[partition]
            taken = self._kafka.raw[partition][start : start + self._batch - len(batch)]
            self._positions[partition] += len(taken)
            batch += taken
        return batch

    def committed(self, partitions: Collection[int]) -> dict[int, int]:
        if self._kafka.fault("committed"):
            raise Broken("_TIMED_OUT")
        return {partition: self._kafka.offsets.get(partition, 0) for partition in partitions}

    def rewind(self, positions: Mapping[int, int]) -> None:
        self._positions |= positions
        self._running -= positions.keys()

    def resume(self, partitions: Collection[int]) -> None:
        self._running |= set(partitions)

    def group_metadata(self) -> Membership:
        return Membership(self._generation)

    def lag(self, partitions: Collection[int]) -> dict[int, int]:
        return {p: len(self._kafka.raw[p]) - self._positions[p] for p in partitions if p in self._positions}

    def close(self) -> None:
        gone = sorted(self._positions)
        if gone:
            self._listener.revoked(gone)
        self._forget(gone)
        self.is_member = False

    def _forget(self, partitions: Sequence[int]) -> None:
        for partition in partitions:
            del self._positions[partition]
            if self._kafka.owners.get(partition) is self:
                del self._kafka.owners[partition]
        self._running -= set(partitions)


class FakeSink:
    def __init__(self, kafka: FakeKafka, transactional_id: str) -> None:
        self._kafka = kafka
        self._id = transactional_id
        self._epoch = self._connect()

    def write(self, records: Sequence[RawRecord], outcomes: Sequence[Outcome]) -> None:
        self._raise(self._kafka.fault("write"))
        written = self._transaction().records
        for record, outcome in zip(records, outcomes, strict=True):
            if isinstance(outcome, Event):
                written.append(Written("events", outcome.key, outcome.value, outcome.headers))
            elif isinstance(outcome, DeadLetter):
                of_error: Headers = [("error_code", outcome.code.value.encode())]
                written.append(Written("dead letters", record.key, record.value, [*record.headers, *of_error]))

    def commit(self, offsets: Mapping[int, int], group_metadata: Any) -> None:
        self._transaction()
        fault = self._kafka.fault("commit")
        if fault != "lost answer":
            self._raise(fault)
        self._kafka.commit(self._id, self._epoch, offsets, group_metadata)
        if fault:
            raise Aborted("_TIMED_OUT")

    def abort(self) -> None:
        self._raise("broken" if self._kafka.fault("abort") else None)
        self._epoch = self._connect()

    def close(self) -> None:
        if self._kafka.epochs[self._id] == self._epoch:
            self._kafka.open.pop(self._id, None)

    def _connect(self) -> int:
        self._kafka.open.pop(self._id, None)
        self._kafka.epochs[self._id] = self._kafka.epochs.get(self._id, 0) + 1
        return self._kafka.epochs[self._id]

    def _transaction(self) -> Transaction:
        if self._kafka.epochs[self._id] != self._epoch:
            raise Broken("_FENCED")
        return self._kafka.open.setdefault(self._id, Transaction(self._epoch))

    def _raise(self, fault: str | None) -> None:
        if fault == "broken":
            raise Broken("fault")
        if fault:
            raise Aborted("fault")


class FakeHistory:
    """Reads all of a partition; the window does not matter to what comes out."""

    def __init__(self, kafka: FakeKafka, chunk: int = 7) -> None:
        self._kafka = kafka
        self._chunk = chunk
        self._reading: dict[int, tuple[int, int]] = {}

    def begin(self, partition: int, known_up_to: int, position: int) -> int:
        first = max(0, known_up_to)
        self._reading[partition] = first, position
        return first

    def read(self, timeout_s: float) -> tuple[list[RawRecord], list[int]]:
        del timeout_s
        records, done = [], []
        for partition, (at, position) in list(self._reading.items()):
            to = min(position, at + self._chunk)
            records += self._kafka.raw[partition][at:to]
            self._reading[partition] = to, position
            if to == position:
                done.append(partition)
                del self._reading[partition]
        return records, done

    def end(self, partition: int) -> None:
        self._reading.pop(partition, None)

    def close(self) -> None:
        self._reading.clear()
