"""Kafka in memory, as far as the processor's consumers and producer need it, with faults on demand.

It keeps the contract that Kafka itself keeps, see tests/contract.

One raw topic, one group, transactions with fencing, read committed. Assignments change when a test says so. What a
fault does is what the brokers would have done: a commit whose answer is lost has taken place, or has not.
"""

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from processor.deduplication.state_store import DISORDER_MS
from processor.interfaces import RebalanceListener
from processor.pipeline.records import DeadLetter, Event, Outcome, RawRecord, identify
from runtime.errors import ClientUnusableError, InstanceFencedError, ProcessorHaltedError, TransactionAbortedError
from runtime.kafka.message_headers import Headers

Fault = Callable[[str], str | None]
"""Asked before each step (`begin`, `write`, `commit`, `abort`, `committed`): None, or what goes wrong:
`aborted`, `broken`, or for a commit `lost answer` (it took place all the same)."""


class Written(NamedTuple):
    """A record in an output topic."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Headers
    timestamp_ms: int


@dataclass
class Transaction:
    epoch: int
    records: list[Written] = field(default_factory=list)
    refusal: str | None = None
    """Why the brokers refuse one of the records for good."""


class FakeKafka:
    """The brokers."""

    def __init__(self, partitions: int) -> None:
        self.raw: list[list[RawRecord | None]] = [[] for _ in range(partitions)]
        """Partition and offset → record; None for a transaction marker or an aborted record, which no reader gets."""
        self.output: list[Written] = []
        """Committed records, in the order of their transactions."""
        self.offsets: dict[int, int] = {}
        self.generation = 0
        self.owners: dict[int, FakeGroupConsumer] = {}
        self.epochs: dict[str, int] = {}
        self.open: dict[str, Transaction] = {}
        self.named: dict[str, FakeGroupConsumer] = {}
        """Member name → the member that has its place in the group."""
        self.max_event_bytes: int | None = None
        self.fault: Fault = lambda _: None

    def append(self, record: RawRecord) -> RawRecord:
        """Append a record to its partition, and return it with its offset."""
        log = self.raw[record.partition]
        appended = record.replace(topic="raw", offset=len(log))
        log.append(appended)
        return appended

    def append_unread(self, partition: int, number: int) -> None:
        """Append `number` transaction markers or aborted records."""
        self.raw[partition] += [None] * number

    def assign(self, share: Mapping["FakeGroupConsumer", Collection[int]]) -> None:
        """Set the group's new assignment; members learn of it when they poll."""
        self.generation += 1
        for member, partitions in share.items():
            member.share = set(partitions)

    def commit(self, transactional_id: str, epoch: int, offsets: Mapping[int, int], metadata: "Membership") -> None:
        transaction = self.open.get(transactional_id)
        if self.epochs[transactional_id] != epoch or transaction is None:
            raise ClientUnusableError("_FENCED")
        if metadata.member.fenced:
            raise TransactionAbortedError("FENCED_INSTANCE_ID")
        if metadata.generation != self.generation:
            raise TransactionAbortedError("ILLEGAL_GENERATION")
        if transaction.refusal is not None:
            raise TransactionAbortedError(transaction.refusal, transaction.refusal)
        self.output += transaction.records
        self.offsets.update(offsets)
        del self.open[transactional_id]


class Membership(NamedTuple):
    generation: int
    member: "FakeGroupConsumer"


class FakeGroupConsumer:
    """A group member: a `GroupConsumer`."""

    def __init__(self, kafka: FakeKafka, listener: RebalanceListener, batch: int = 5, name: str | None = None) -> None:
        """Join the group; a member with the same name loses its place to this one."""
        self._kafka = kafka
        self._listener = listener
        self._batch = batch
        self._generation = 0
        self._positions: dict[int, int] = {}
        self._running: set[int] = set()
        self.share: set[int] = set()
        self.is_member = False
        self.lose = False
        """Whether the next poll finds that the session has timed out."""
        self.fenced = False
        """Whether another member has its place."""
        if name is not None:
            if (before := kafka.named.get(name)) is not None:
                before.fenced, self.share = True, before.share
                kafka.owners = {p: owner for p, owner in kafka.owners.items() if owner is not before}
            kafka.named[name] = self

    def poll(self, timeout_s: float, may_wait: Callable[[], bool]) -> list[RawRecord]:
        del timeout_s, may_wait
        if self.fenced:
            raise InstanceFencedError("FENCED_INSTANCE_ID")
        if self.lose:
            self.lose, gone = False, sorted(self._positions)
            self._forget(gone)
            self.is_member = False
            self._listener.lost(gone)
            return []
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
            batch += filter(None, taken)
        return batch

    def committed(self, partitions: Collection[int]) -> dict[int, int]:
        if self._kafka.fault("committed"):
            raise ClientUnusableError("_TIMED_OUT")
        offsets = {partition: self._kafka.offsets.get(partition, 0) for partition in partitions}
        for partition, offset in offsets.items():
            if offset > (end := len(self._kafka.raw[partition])):
                raise ProcessorHaltedError(f"the group is at offset {offset} of raw[{partition}], which ends at {end}")
        return offsets

    def has_offset(self, partition: int) -> bool:
        return partition in self._kafka.offsets

    def rewind(self, positions: Mapping[int, int]) -> None:
        self._positions |= positions
        self._running -= positions.keys()

    def pause(self, partitions: Collection[int]) -> None:
        self._running -= set(partitions)

    def resume(self, partitions: Collection[int]) -> None:
        self._running |= set(partitions)

    def group_metadata(self) -> Membership:
        return Membership(self._generation, self)

    def positions(self, partitions: Collection[int]) -> dict[int, int]:
        return {p: self._positions[p] for p in partitions if p in self._positions}

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


class FakeTransactionSink:
    overdue = False

    def __init__(self, kafka: FakeKafka, transactional_id: str) -> None:
        self._kafka = kafka
        self._id = transactional_id
        self._epoch = self._connect()

    def write(self, records: Sequence[RawRecord], outcomes: Sequence[Outcome]) -> None:
        self._raise(self._kafka.fault("write"))
        transaction, limit = self._transaction(), self._kafka.max_event_bytes
        now_ms = time.time_ns() // 1_000_000
        headers: Headers
        for record, outcome in zip(records, outcomes, strict=True):
            if isinstance(outcome, Event):
                headers = [] if outcome.traceparent is None else [("traceparent", outcome.traceparent)]
                transaction.records.append(Written("events", outcome.key, outcome.value, headers, now_ms))
                if limit is not None and len(outcome.value) > limit:
                    transaction.refusal = "MSG_SIZE_TOO_LARGE"
            elif isinstance(outcome, DeadLetter):
                headers = _of_dead_letter(record, outcome)
                transaction.records.append(Written("dead letters", record.key, record.value, headers, now_ms))

    def commit(self, offsets: Mapping[int, int], group_metadata: Any) -> None:
        self._transaction()
        fault = self._kafka.fault("commit")
        if fault != "lost answer":
            self._raise(fault)
        self._kafka.commit(self._id, self._epoch, offsets, group_metadata)
        if fault:
            raise TransactionAbortedError("_TIMED_OUT")

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
            raise ClientUnusableError("_FENCED")
        return self._kafka.open.setdefault(self._id, Transaction(self._epoch))

    def _raise(self, fault: str | None) -> None:
        if fault == "broken":
            raise ClientUnusableError("fault")
        if fault:
            raise TransactionAbortedError("fault")


def _of_dead_letter(record: RawRecord, dead: DeadLetter) -> Headers:
    said = {
        "received_at": f"{identify(record).received_at_ms}",
        "error_code": dead.code.value,
        "error_message": dead.message,
        "error_field": dead.field,
        "error_stage": dead.stage.value,
        "raw_topic": record.topic,
        "raw_partition": f"{record.partition}",
        "raw_offset": f"{record.offset}",
    }
    kept = [(name, value) for name, value in record.headers if name not in said]
    return kept + [(name, text.encode()) for name, text in said.items() if text is not None]


class FakeRestoreConsumer:
    def __init__(self, kafka: FakeKafka, chunk: int = 7, window_ms: int = 10**13) -> None:
        self._kafka = kafka
        self._chunk = chunk
        self._window_ms = window_ms
        self._reading: dict[int, tuple[int, int]] = {}

    def start(self, partition: int, known_up_to: int, position: int) -> int:
        log, now_ms = self._kafka.raw[partition], time.time_ns() // 1_000_000
        dated = [record.timestamp_ms for record in filter(None, log)]
        next_ms = next((record.timestamp_ms for record in log[position:] if record), dated[-1] if dated else now_ms)
        oldest_ms = min(now_ms, next_ms) - self._window_ms - DISORDER_MS
        within = (record.offset for record in log[:position] if record and record.timestamp_ms >= oldest_ms)
        first = min(position, max(0, known_up_to, next(within, position)))
        self._reading[partition] = first, position
        return first

    def read(self, timeout_s: float) -> tuple[list[RawRecord], list[int]]:
        del timeout_s
        records: list[RawRecord] = []
        done: list[int] = []
        for partition, (at, position) in list(self._reading.items()):
            to = min(position, at + self._chunk)
            records += filter(None, self._kafka.raw[partition][at:to])
            self._reading[partition] = to, position
            if to == position:
                done.append(partition)
                del self._reading[partition]
        return records, done

    def stop(self, partition: int) -> None:
        self._reading.pop(partition, None)

    def close(self) -> None:
        self._reading.clear()
