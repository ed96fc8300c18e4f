"""The contract of processor/interfaces.py, as tests that run on each implementation of it.

class TestTransportOnX(TransportContract):
    @pytest.fixture
    def world(self) -> World: ...
"""

import random
import time
from collections.abc import Sequence
from contextlib import suppress

import pytest

from processor.interfaces import RestoreConsumer
from processor.pipeline.records import DeadLetter, Duplicate, Event, RawRecord
from runtime.errors import (
    ClientUnusableError,
    InstanceFencedError,
    InstanceInUseError,
    ProcessorHaltedError,
    TransactionAbortedError,
)
from schemas.error_codes import ErrorCode, Stage
from tests.contract.world import BATCH, MAX_EVENT_BYTES, PARTITIONS, Member, World, poll_until
from tests.support.fake_kafka import Written
from tests.support.raw_records import raw
from tests.support.waiting import PATIENCE_S, until

HOUR_MS = 3_600_000

VISIBLE_S = 30.0
"""Shorter than the transactions' time-out on Kafka (`PATIENT_MS` in tests/integration/test_transport_kafka.py)."""


def records_of(partition: int, number: int) -> list[RawRecord]:
    now = now_ms()
    return [raw(offset, event_id=f"{partition}-{offset}", partition=partition, at_ms=now) for offset in range(number)]


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def place(record: RawRecord) -> tuple[int, int]:
    return record.partition, record.offset


VALUE = b"\0value of "


def event(name: str, key: bytes = b"person", traceparent: bytes | None = None, value: bytes | None = None) -> Event:
    return Event(key, VALUE + name.encode() if value is None else value, traceparent)


def names(written: Sequence[Written]) -> list[bytes | None]:
    """Of events that `event` made."""
    return [one.value and one.value.removeprefix(VALUE) for one in written if one.topic == "events"]


def visible(world: World, count: int) -> list[Written]:
    """Return what readers see once it is `count` records.

    Brokers answer a commit before they have marked it in each partition, and readers wait for the marks (KIP-98:
    https://cwiki.apache.org/confluence/display/KAFKA/KIP-98+-+Exactly+Once+Delivery+and+Transactional+Messaging).
    It does not wait for as long as a transaction may be open: none that should have ended may hold readers up.
    """
    until(lambda: len(world.output()) >= count, VISIBLE_S)
    return world.output()


def positions_after(records: Sequence[RawRecord]) -> dict[int, int]:
    return {record.partition: record.offset + 1 for record in records}


def read_all(history: RestoreConsumer, partitions: set[int]) -> list[RawRecord]:
    """Until all of them are done; each may be so only once."""
    found: list[RawRecord] = []
    open_ = set(partitions)
    deadline = time.monotonic() + PATIENCE_S
    while open_:
        assert time.monotonic() < deadline, f"not done: {open_}"
        records, done = history.read(0.05)
        assert all(record.partition in open_ for record in records)
        found += records
        for partition in done:
            open_.remove(partition)
    return found


def having_received(world: World, number: int) -> tuple[Member, list[RawRecord]]:
    """A member that has received so many records of partition 0, and these as they were written."""
    one = world.member("one")
    records = world.append(records_of(0, number))
    one.receive(number)
    return one, records


class TransportContract:
    # The sink

    def test_what_is_committed_is_read_whole(self, world: World) -> None:
        begun_ms = now_ms()
        one = world.member("one")
        of_poison = [("source", b"shop"), ("error_code", b"of an earlier try"), ("empty", None)]
        poison = raw(1, b"\xff no JSON", headers=of_poison, at_ms=begun_ms)
        world.append([*records_of(0, 1), poison, raw(2, at_ms=begun_ms), raw(3, at_ms=begun_ms)])
        records = one.receive(4)
        made, traced = event("a", b"\x00\xff"), event("b", b"\x00\xff", traceparent=b"00-trace")
        dead = DeadLetter(ErrorCode.INVALID_FIELD, Stage.MAP, "data.x", "no number: é")
        sink = world.sink("one")
        sink.write(records, [made, dead, Duplicate(0), traced])
        sink.commit(positions_after(records), one.source.group_metadata())

        first, third, second = sorted(visible(world, 3), key=lambda one: (one.topic != "events", one.value))
        assert first[:4] == ("events", made.key, made.value, [])
        assert third[:4] == ("events", traced.key, traced.value, [("traceparent", b"00-trace")])
        assert second[:3] == ("dead letters", poison.key, poison.value)
        assert second.headers == [
            ("source", b"shop"),
            ("empty", None),
            ("received_at", b"%d" % begun_ms),
            ("error_code", b"invalid_field"),
            ("error_message", "no number: é".encode()),
            ("error_field", b"data.x"),
            ("error_stage", b"map"),
            ("raw_topic", records[1].topic.encode()),
            ("raw_partition", b"0"),
            ("raw_offset", b"1"),
        ]
        for written in (first, second, third):
            assert begun_ms <= written.timestamp_ms <= now_ms(), "dated when it was written"
        assert one.source.committed([0, 1]) == {0: 4, 1: 0}

    def test_nothing_is_read_before_the_commit(self, world: World) -> None:
        one, records = having_received(world, 1)
        sink = world.sink("one")
        sink.write(records, [event("a")])
        assert world.output() == []
        assert one.source.committed([0]) == {0: 0}
        sink.commit({0: 1}, one.source.group_metadata())
        assert names(visible(world, 1)) == [b"a"]
        assert one.source.committed([0]) == {0: 1}

    def test_an_aborted_transaction_leaves_no_trace(self, world: World) -> None:
        one, records = having_received(world, 2)
        sink = world.sink("one")
        sink.abort()  # of nothing
        for number in range(3):
            sink.write(records, [event(f"aborted {number}"), DeadLetter(ErrorCode.TOO_LARGE, Stage.PRODUCE, None, "")])
            sink.abort()
        assert one.source.committed([0]) == {0: 0}
        sink.write(records, [event("a"), DeadLetter(ErrorCode.TOO_LARGE, Stage.PRODUCE, None, "")])
        sink.commit({0: 2}, one.source.group_metadata())
        written = visible(world, 2)
        assert names(written) == [b"a"]
        assert len(written) == 2

    def test_closing_aborts_what_is_open(self, world: World) -> None:
        one, records = having_received(world, 1)
        sink = world.sink("one")
        sink.write(records, [event("closed")])
        sink.close()
        other = world.sink("two")
        other.write(records, [event("a")])
        other.commit({0: 1}, one.source.group_metadata())
        assert names(visible(world, 1)) == [b"a"]

    def test_duplicates_alone_move_the_group(self, world: World) -> None:
        one, records = having_received(world, 2)
        sink = world.sink("one")
        sink.write(records, [Duplicate(0)] * 2)
        sink.commit({0: 2}, one.source.group_metadata())
        assert one.source.committed([0]) == {0: 2}
        assert world.output() == []

    def test_transactions_come_out_in_their_order(self, world: World) -> None:
        one = world.member("one")
        world.append(records_of(0, 20))
        sink = world.sink("one")
        for _ in range(4):
            records = one.receive(5)
            sink.write(records, [event(f"{record.offset}") for record in records])
            sink.commit(positions_after(records), one.source.group_metadata())
        assert names(visible(world, 20)) == [f"{offset}".encode() for offset in range(20)]

    def test_a_second_sink_of_the_same_name_fences_the_first(self, world: World) -> None:
        one, records = having_received(world, 1)
        first = world.sink("same")
        first.write(records, [event("fenced")])
        second = world.sink("same")
        second.write(records, [event("a")])
        with pytest.raises((TransactionAbortedError, ClientUnusableError)):
            first.commit({0: 1}, one.source.group_metadata())
        assert one.source.committed([0]) == {0: 0}
        second.commit({0: 1}, one.source.group_metadata())
        assert names(visible(world, 1)) == [b"a"]
        assert one.source.committed([0]) == {0: 1}

    def test_a_new_sink_ends_what_one_of_its_name_left_open(self, world: World) -> None:
        one, records = having_received(world, 1)
        world.sink("same").write(records, [event("left")])
        world.sink("same")
        other = world.sink("other")
        other.write(records, [event("a")])
        other.commit({0: 1}, one.source.group_metadata())
        assert names(visible(world, 1)) == [b"a"]  # and the reader was not held up by the other

    def test_a_record_that_brokers_never_take_is_told_from_other_faults(self, world: World) -> None:
        one, records = having_received(world, 2)
        large = event("large", value=random.Random(7).randbytes(MAX_EVENT_BYTES + 1))
        sink = world.sink("one")

        def transact() -> None:
            sink.write(records, [event("with it"), large])
            sink.commit({0: 2}, one.source.group_metadata())

        with pytest.raises(TransactionAbortedError) as aborted:
            transact()
        assert aborted.value.record_fault == "MSG_SIZE_TOO_LARGE"
        sink.abort()
        assert one.source.committed([0]) == {0: 0}
        sink.write(records, [event("a")] * 2)
        sink.commit({0: 2}, one.source.group_metadata())
        assert names(visible(world, 2)) == [b"a"] * 2

    def test_a_refusal_belongs_to_its_own_transaction(self, world: World) -> None:
        """The report of it may come after the abort."""
        one, records = having_received(world, 1)
        large = event("large", value=random.Random(7).randbytes(MAX_EVENT_BYTES + 1))
        sink = world.sink("one")
        for _ in range(3):
            with suppress(TransactionAbortedError):  # told at once, or later
                sink.write(records, [large])
            sink.abort()
            sink.write(records, [event("a")])
            sink.commit({0: 1}, one.source.group_metadata())
        assert names(visible(world, 3)) == [b"a"] * 3

    # The source

    def test_records_come_as_they_are_and_in_the_order_of_their_partition(self, world: World) -> None:
        bare = RawRecord("", 1, 0, now_ms(), None, None, [])
        sent = [*world.append([*records_of(0, 12), bare]), *world.append(records_of(1, 5))]
        one = world.member("one")
        assert not one.source.is_member
        poll_until(lambda: one.source.is_member, one)
        while len(one.received) < len(sent):
            assert len(one.poll()) <= BATCH
        for partition in range(PARTITIONS):
            assert [r for r in one.received if r.partition == partition] == [
                r for r in sent if r.partition == partition
            ]

    def test_rewinding_pauses_and_resuming_reads_from_there(self, world: World) -> None:
        one = world.member("one")
        sent = world.append(records_of(0, 8))
        assert one.receive(5) == sent[:5]
        one.source.rewind({0: 2})
        of_other = world.append(records_of(1, 1))
        assert one.receive(1) == of_other
        one.source.resume([0])
        assert one.receive(6) == sent[2:]
        one.source.rewind({0: 8, 1: 0})
        one.source.resume([0, 1])
        assert one.receive(1) == of_other

    def test_a_paused_partition_gives_nothing_and_goes_on_from_there(self, world: World) -> None:
        one = world.member("one")
        sent = world.append(records_of(0, 2 * BATCH))
        poll_until(lambda: len(one.received) > 0, one)  # and more has been fetched
        before = list(one.received)
        one.source.pause([0])
        of_other = world.append(records_of(1, 2))
        assert one.receive(2) == of_other
        one.source.resume([0])
        assert before + one.receive(2 * BATCH - len(before)) == sent

    def test_positions_pass_over_transaction_markers_and_aborted_records(self, world: World) -> None:
        sent = world.append(records_of(0, 2))
        one = world.member("one")
        assert one.receive(2) == sent
        assert one.source.positions([0]) == {0: 2}
        sent = world.transact(records_of(0, 3), commit=True)
        assert one.receive(3) == sent
        poll_until(lambda: one.source.positions([0]) == {0: 6}, one)
        world.transact([*records_of(0, 2), *records_of(1, 1)], commit=False)
        poll_until(lambda: one.source.positions([0, 1]) == {0: 9, 1: 2}, one)
        assert one.source.lag([0, 1]) == {0: 0, 1: 0}

        # Such a position can be the group's: whoever reads on from it misses nothing.
        sink = world.sink("one")
        sink.write([], [])
        sink.commit({0: 9, 1: 2}, one.source.group_metadata())
        assert one.source.committed([0, 1]) == {0: 9, 1: 2}
        sent = world.append(records_of(0, 1))
        assert [record.offset for record in one.receive(1)] == [9]
        one.source.rewind({0: 6})
        assert one.source.positions([0]).get(0, 6) == 6
        one.source.resume([0])
        assert one.receive(1) == sent
        assert one.source.positions([0]) == {0: 10}
        assert world.output() == []

    def test_history_ends_at_a_position_behind_markers(self, world: World) -> None:
        sent = [*world.append(records_of(0, 2)), *world.transact(records_of(0, 2), commit=True)]
        world.transact(records_of(0, 2), commit=False)
        history = world.history(3600)
        assert history.start(0, -1, 8) == 0
        assert places(read_all(history, {0})) == [record.offset for record in sent]
        assert history.start(0, 5, 8) == 5
        assert read_all(history, {0}) == []
        history.close()

    def test_lag_counts_what_was_not_polled(self, world: World) -> None:
        world.append(records_of(0, 12))
        one = world.member("one")
        one.receive(5)
        assert one.source.lag([0]) == {0: 7}
        one.receive(7)
        assert one.source.lag([0]) == {0: 0}

    def test_the_group_is_where_it_was_when_a_member_comes_back(self, world: World) -> None:
        one = world.member("one")
        sent = world.append([*records_of(0, 4), *records_of(1, 2)])
        one.receive(6)
        sink = world.sink("one")
        sink.write(sent[:3], [event("a")] * 3)
        sink.commit({0: 3}, one.source.group_metadata())
        one.source.close()
        assert one.diary[-PARTITIONS:] == [("one", "revoked", partition) for partition in range(PARTITIONS)]
        again = world.member("one")
        poll_until(lambda: again.positions.keys() == {0, 1}, again)
        assert again.positions == {0: 3, 1: 0}
        assert [again.source.has_offset(partition) for partition in (0, 1)] == [True, False]
        poll_until(lambda: len(again.received) >= 3, again)
        assert sorted(again.received, key=place) == sorted(sent[3:], key=place)

    def test_a_group_beyond_the_end_halts(self, world: World) -> None:
        one, records = having_received(world, 1)
        sink = world.sink("one")
        sink.write(records, [Duplicate(0)])
        sink.commit({0: 99}, one.source.group_metadata())
        with pytest.raises(ProcessorHaltedError, match="ends at 1"):
            one.source.committed([0])

    # The group

    def test_one_member_more_than_partitions_is_a_member_too(self, world: World) -> None:
        members = [world.member(f"{number}") for number in range(PARTITIONS + 1)]
        poll_until(lambda: all(m.source.is_member for m in members) and shares(members) == [0, 1, 1], *members)

    def test_partitions_are_given_up_before_another_member_gets_them(self, world: World) -> None:
        sent = world.append([*records_of(0, 5), *records_of(1, 5)])
        one = world.member("one")
        one.receive(10)
        sink = world.sink("one")

        def finish(partitions: Sequence[int]) -> None:
            """While they are still its own: what is committed here is what the next one starts from."""
            of_them = [record for record in sent if record.partition in partitions and record.offset < 3]
            sink.write(of_them, [event(f"{record.offset}") for record in of_them])
            sink.commit(positions_after(of_them), one.source.group_metadata())

        one.when_revoked = finish
        two = world.member("two")
        poll_until(lambda: two.positions, one, two)
        (moved,) = two.positions
        assert two.positions == {moved: 3}
        assert one.positions.keys() == {0, 1} - {moved}
        assert world.diary.index(("one", "revoked", moved)) < world.diary.index(("two", "assigned", moved))
        poll_until(lambda: len(two.received) >= 2, one, two)
        assert two.received == [record for record in sent if record.partition == moved and record.offset >= 3]
        assert names(visible(world, 3)) == [b"0", b"1", b"2"]

    def test_a_commit_with_the_membership_before_a_rebalance_is_aborted(self, world: World) -> None:
        sent = world.append([*records_of(0, 1), *records_of(1, 1)])
        one = world.member("one")
        one.receive(2)
        before = one.source.group_metadata()
        sink = world.sink("one")
        two = world.member("two")
        poll_until(lambda: two.positions and len(one.positions) == 1, one, two)
        (kept,), (moved,) = one.positions, two.positions
        sink.write([record for record in sent if record.partition == moved], [event("stale")])
        with pytest.raises(TransactionAbortedError):
            sink.commit({moved: 1}, before)
        sink.abort()
        assert one.source.committed([kept, moved]) == {kept: 0, moved: 0}
        records = [record for record in sent if record.partition == kept]
        sink.write(records, [event("a")])
        sink.commit({kept: 1}, one.source.group_metadata())
        assert names(visible(world, 1)) == [b"a"]

    def test_an_earlier_membership_commits_at_most_what_the_member_kept(self, world: World) -> None:
        """Brokers with KIP-1251 take it for a partition that the member has had all the time; others refuse it."""
        sent = world.append([*records_of(0, 1), *records_of(1, 1)])
        one = world.member("one")
        one.receive(2)
        before = one.source.group_metadata()
        sink = world.sink("one")
        two = world.member("two")
        poll_until(lambda: two.positions and len(one.positions) == 1, one, two)
        (kept,) = one.positions
        records = [record for record in sent if record.partition == kept]
        sink.write(records, [event("a")])
        try:
            sink.commit({kept: 1}, before)
        except TransactionAbortedError:
            sink.abort()
            assert one.source.committed([kept]) == {kept: 0}
            assert world.output() == []
        else:
            assert world.first_keeps_its_place, "only with the group protocol consumer"
            assert one.source.committed([kept]) == {kept: 1}
            assert names(visible(world, 1)) == [b"a"]

    @pytest.mark.members_time_out
    def test_a_lost_member_commits_nothing(self, world: World) -> None:
        records = world.append(records_of(0, 2))
        one, two = world.member("one"), world.member("two")
        sinks = {member.name: world.sink(member.name) for member in (one, two)}  # nobody polls while one is made
        poll_until(lambda: one.positions and two.positions, one, two)
        loser, other = (one, two) if 0 in one.positions else (two, one)
        poll_until(lambda: loser.received and 0 in loser.positions, loser, other)
        sink, begin = sinks[loser.name], len(world.diary)
        sink.write(records, [event("late")] * 2)
        metadata = loser.source.group_metadata()
        world.time_out(loser)
        poll_until(lambda: 0 in other.positions, other)
        assert other.positions[0] == 0
        with pytest.raises((TransactionAbortedError, ClientUnusableError)):
            sink.commit({0: 2}, metadata)
        assert (loser.name, "lost", 0) not in world.diary[begin:], "callbacks come within poll"
        poll_until(lambda: (loser.name, "lost", 0) in world.diary[begin:], loser)
        assert (loser.name, "revoked", 0) not in world.diary[begin:]
        assert not loser.source.is_member
        sink.abort()
        assert other.source.committed([0]) == {0: 0}
        assert world.output() == []

    def test_of_two_members_with_one_name_one_has_the_place(self, world: World) -> None:
        records = world.append(records_of(0, 1))
        first = world.member("same")
        first.receive(1)
        metadata = first.source.group_metadata()
        second = world.member("same")
        if world.first_keeps_its_place:
            with pytest.raises(InstanceInUseError):
                poll_until(lambda: False, first, second)
            assert not second.source.is_member
            sink = world.sink("another")
            sink.write(records, [event("a")])
            sink.commit({0: 1}, first.source.group_metadata())
            assert names(visible(world, 1)) == [b"a"]
            return
        poll_until(lambda: second.received, second)
        sink = world.sink("another")
        sink.write(records, [event("late")])
        with pytest.raises((TransactionAbortedError, ClientUnusableError)):
            sink.commit({0: 1}, metadata)
        sink.abort()
        with pytest.raises(InstanceFencedError):
            poll_until(lambda: False, first, second)
        sink.write(records, [event("a")])
        sink.commit({0: 1}, second.source.group_metadata())
        assert names(visible(world, 1)) == [b"a"]

    # The history

    def test_history_reads_from_what_is_known_up_to_the_position(self, world: World) -> None:
        sent = [*world.append(records_of(0, 30)), *world.append(records_of(1, 4))]
        history = world.history(3600)
        assert history.start(0, 10, 25) == 10
        assert history.start(1, -1, 4) == 0
        assert places(read_all(history, {0, 1})) == [*range(10, 25), *range(4)]
        assert history.start(0, 25, 25) == 25
        assert read_all(history, {0}) == []
        assert history.start(0, 29, 30) == 29
        (last,) = read_all(history, {0})
        assert last.replace(key=None) == sent[29].replace(key=None)
        history.close()

    def test_history_that_is_ended_says_no_more_and_can_begin_again(self, world: World) -> None:
        world.append([*records_of(0, 30), *records_of(1, 30)])
        history = world.history(3600)
        history.start(0, -1, 30)
        history.start(1, -1, 30)
        history.stop(0)
        history.stop(0)
        assert all(record.partition == 1 for record in read_all(history, {1}))
        history.start(0, 20, 28)
        assert places(read_all(history, {0})) == [*range(20, 28)]
        history.stop(1)
        history.close()
        history.start(1, 28, 30)
        assert places(read_all(history, {1})) == [28, 29]
        history.close()

    def test_history_of_an_empty_partition_is_done_at_once(self, world: World) -> None:
        history = world.history(3600)
        assert history.start(0, -1, 0) == 0
        assert read_all(history, {0}) == []
        history.close()

    @pytest.mark.parametrize("clock_is_ahead_h", [0, 3, 100])
    def test_history_begins_a_window_before_the_position(
        self, world: World, clock_is_ahead_h: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """And the disorder that there may be among the timestamps, whatever this machine's clock says."""
        now = now_ms()
        hours = [9, 8, 7, 6, 5, 4, 3]
        world.append([raw(event_id=f"{hour}", at_ms=now - hour * HOUR_MS) for hour in hours])
        history = world.history(3 * 3600 // 2)
        monkeypatch.setattr(time, "time_ns", lambda: (now + clock_is_ahead_h * HOUR_MS) * 1_000_000)
        # The record there is 4 hours old: of what is dated less than 1.5 hours before it, an hour's disorder allowed.
        assert history.start(0, -1, 5) == 3
        assert places(read_all(history, {0})) == [3, 4]
        # Nothing is there: what comes is dated after the last record, which is 3 hours old, an hour's disorder allowed.
        assert history.start(0, -1, 7) == 4
        assert places(read_all(history, {0})) == [4, 5, 6]
        history.close()


def shares(members: Sequence[Member]) -> list[int]:
    return sorted(len(member.positions) for member in members)


def places(records: Sequence[RawRecord]) -> list[int]:
    """Their offsets, one partition after the other."""
    return [record.offset for record in sorted(records, key=lambda record: record.partition)]
