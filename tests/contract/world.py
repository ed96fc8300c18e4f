"""What the contract of processor/interfaces.py is tested on: Kafka as one test has it, real or in memory."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol

from processor.interfaces import GroupConsumer, RebalanceListener, RestoreConsumer, TransactionSink
from processor.pipeline.records import RawRecord
from tests.support.fake_kafka import Written
from tests.support.waiting import PATIENCE_S

PARTITIONS = 2
"""Of the raw topic. Each output topic has one, so that the order of what is read is the order of what was written."""

BATCH = 5
"""Most records that a poll gives."""

MAX_EVENT_BYTES = 20_000
"""Largest record that the topic of events takes."""


class World(Protocol):
    diary: "Diary"

    first_keeps_its_place: bool
    """Of two members with one name: the second is turned away, rather than taking the place of the first."""

    def append(self, records: Iterable[RawRecord]) -> list[RawRecord]:
        """To the raw topic; as they are there, with their topic and offsets."""
        ...

    def transact(self, records: Iterable[RawRecord], *, commit: bool) -> list[RawRecord]:
        """The same in a transaction, which leaves a marker in each of their partitions; nobody reads an aborted one."""
        ...

    def member(self, name: str) -> "Member":
        """One more member of the group; the group sees to it that each has its share."""
        ...

    def time_out(self, member: "Member") -> None:
        """Has the group give a member up, while another one polls; it does not hear of it before its next poll."""
        ...

    def sink(self, name: str) -> TransactionSink: ...

    def history(self, window_s: int) -> RestoreConsumer: ...

    def output(self) -> list[Written]:
        """What a read_committed reader finds, events before dead letters."""
        ...


Diary = list[tuple[str, str, int]]
"""Which member was told what of which partition, in the order in which it was."""


class Member:
    """A member that starts to read whatever it is given, and notes what it is told."""

    def __init__(self, name: str, diary: Diary, make_source: Callable[[RebalanceListener], GroupConsumer]) -> None:
        self.name = name
        self.diary = diary
        self.positions: dict[int, int] = {}
        """Of the partitions it has, as it was told them."""
        self.received: list[RawRecord] = []
        self.when_revoked: Callable[[Sequence[int]], None] = lambda _: None
        self.source = make_source(self)

    def assigned(self, positions: Mapping[int, int]) -> None:
        self._note("assigned", positions)
        self.positions |= positions
        self.source.resume(positions)

    def revoked(self, partitions: Sequence[int]) -> None:
        self._note("revoked", partitions)
        self.when_revoked(partitions)
        self._forget(partitions)

    def lost(self, partitions: Sequence[int]) -> None:
        self._note("lost", partitions)
        self._forget(partitions)

    def poll(self) -> list[RawRecord]:
        records = self.source.poll(0.05, lambda: False)
        self.received += records
        return records

    def receive(self, number: int) -> list[RawRecord]:
        """The next so many records, and not one more."""
        start = len(self.received)
        poll_until(lambda: len(self.received) - start >= number, self)
        records = self.received[start:]
        assert len(records) == number
        return records

    def _note(self, what: str, partitions: Iterable[int]) -> None:
        self.diary += [(self.name, what, partition) for partition in sorted(partitions)]

    def _forget(self, partitions: Sequence[int]) -> None:
        for partition in partitions:
            self.positions.pop(partition, None)


def poll_until(condition: Callable[[], object], *members: Member) -> None:
    """Has the members poll in turn until something is so."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "it did not come about"
        for member in members:
            member.poll()
