"""Kafka in memory keeps the contract of Kafka itself, on which the tests of the stream processor depend."""

from collections.abc import Iterable

import pytest

from processor.interfaces import RestoreConsumer, TransactionSink
from processor.pipeline.records import RawRecord
from tests.contract.transport import TransportContract
from tests.contract.world import BATCH, MAX_EVENT_BYTES, PARTITIONS, Diary, Member
from tests.support.fake_kafka import FakeGroupConsumer, FakeKafka, FakeRestoreConsumer, FakeTransactionSink, Written


class FakeWorld:
    first_keeps_its_place = False

    def __init__(self) -> None:
        self.diary: Diary = []
        self._kafka = FakeKafka(PARTITIONS)
        self._kafka.max_event_bytes = MAX_EVENT_BYTES
        self._sources: dict[str, FakeGroupConsumer] = {}

    def append(self, records: Iterable[RawRecord]) -> list[RawRecord]:
        return [self._kafka.append(record) for record in records]

    def transact(self, records: Iterable[RawRecord], *, commit: bool) -> list[RawRecord]:
        sent = list(records)
        written = self.append(sent) if commit else []
        for partition in {record.partition for record in sent}:
            aborted = 0 if commit else sum(record.partition == partition for record in sent)
            self._kafka.append_unread(partition, aborted + 1)
        return written

    def member(self, name: str) -> Member:
        member = Member(name, self.diary, lambda listener: FakeGroupConsumer(self._kafka, listener, BATCH, name))
        joins = name not in self._sources
        assert isinstance(member.source, FakeGroupConsumer)
        self._sources[name] = member.source
        if joins:
            self._rebalance()
        return member

    def time_out(self, member: Member) -> None:
        source = self._sources.pop(member.name)
        source.lose = True
        self._kafka.owners = {p: owner for p, owner in self._kafka.owners.items() if owner is not source}
        source.share = set()
        self._rebalance()

    def sink(self, name: str) -> TransactionSink:
        return FakeTransactionSink(self._kafka, name)

    def history(self, window_s: int) -> RestoreConsumer:
        return FakeRestoreConsumer(self._kafka, window_ms=window_s * 1000)

    def output(self) -> list[Written]:
        return sorted(self._kafka.output, key=lambda written: written.topic != "events")

    def _rebalance(self) -> None:
        sources = list(self._sources.values())
        self._kafka.assign(
            {
                source: [p for p in range(PARTITIONS) if p % len(sources) == number]
                for number, source in enumerate(sources)
            }
        )


class TestTransportInMemory(TransportContract):
    @pytest.fixture
    def world(self) -> FakeWorld:
        return FakeWorld()
