"""The stream processor on Kafka in memory: whatever fails or moves, each event comes out exactly once, in order."""

import gc
import itertools
import threading
import weakref
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import orjson
import pytest
import structlog
from confluent_kafka import KafkaException, Producer
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from processor.deduplication.deduplicator import Deduplicator, SeenEntry
from processor.interfaces import RebalanceListener
from processor.pipeline.pipeline import BatchProcessor, Pipeline
from processor.pipeline.records import RawRecord
from processor.stream_processor import StreamProcessor
from runtime.errors import ClientUnusableError, ProcessorHaltedError, ProducerFencedError, TransactionAbortedError
from runtime.settings.model import ProcessorSettings
from schemas.avro.encoder import FIELDS, MESSAGE_ID, USER_ID
from schemas.error_codes import ErrorCode, PayloadRejectedError
from tests.support.examples import examples
from tests.support.fake_kafka import FakeGroupConsumer, FakeKafka, FakeRestoreConsumer, FakeTransactionSink, Written
from tests.support.raw_records import raw
from tests.support.waiting import PATIENCE_S, until

PARTITIONS = 3
MEMBERS = 3

MakeSink = Callable[[FakeKafka, str], FakeTransactionSink]


class DictState:
    """A partition's state, which a member keeps across restarts."""

    def __init__(self) -> None:
        self.next_offset = -1
        self.entries: dict[bytes, SeenEntry] = {}

    def get(self, keys: list[bytes]) -> list[SeenEntry | None]:
        return [self.entries.get(key) for key in keys]

    def write(self, entries: Mapping[bytes, SeenEntry], next_offset: int, newest_ms: int) -> None:
        assert next_offset >= self.next_offset
        self.entries.update(entries)
        self.next_offset = next_offset

    def disk_bytes(self) -> int:
        return 0

    def close(self) -> None:
        pass


class FakeWorker:
    def __init__(self) -> None:
        self.stopping = threading.Event()
        self.state: tuple[bool, str] = False, ""
        self.beats = 0

    def ready(self, ready: bool, reason: str = "") -> None:
        self.state = ready, reason

    def beat(self) -> None:
        self.beats += 1


class Mapper:
    def row(self, body: bytes, *circumstances: Any) -> list[Any]:
        if body == b"broken":
            raise PayloadRejectedError(ErrorCode.MALFORMED_JSON, "broken")
        if body == b"bug":
            raise RuntimeError
        row: list[Any] = [None] * len(FIELDS)
        row[USER_ID], row[MESSAGE_ID] = "someone", circumstances[2]
        return row


class Member:
    """A worker: its stream processor, created again when it fails, and its state on disk."""

    def __init__(
        self,
        kafka: FakeKafka,
        number: int,
        options: ProcessorSettings | None = None,
        make_sink: MakeSink = FakeTransactionSink,
    ) -> None:
        self.kafka = kafka
        self.make_sink = make_sink
        self.name = f"member-{number}"
        self.states: dict[int, DictState] = {}
        self.options = options or ProcessorSettings(batch_max_records=5)
        self.worker = FakeWorker()
        self.processor: StreamProcessor | None = None
        self.consumer: FakeGroupConsumer | None = None
        self.share: set[int] = set()

    def start(self) -> None:
        """Create the stream processor, retrying until it succeeds."""
        while self.processor is None:
            try:
                deduplicator = Deduplicator(10**12)
                batch_processor = BatchProcessor(deduplicator, Pipeline(Mapper(), orjson.dumps, 7, 10_000))
                self.processor = StreamProcessor(
                    self.worker,
                    self.options,
                    batch_processor,
                    deduplicator,
                    self.open_state,
                    FakeRestoreConsumer(self.kafka),
                    lambda: self.make_sink(self.kafka, self.name),
                    self.make_consumer,
                )
            except ClientUnusableError:
                pass

    def make_consumer(self, listener: RebalanceListener) -> FakeGroupConsumer:
        self.consumer = FakeGroupConsumer(self.kafka, listener)
        self.consumer.share = self.share
        return self.consumer

    def open_state(self, partition: int, position: int, has_offset: bool) -> DictState:
        del has_offset
        state = self.states.setdefault(partition, DictState())
        if state.next_offset > position:
            state = self.states[partition] = DictState()
        return state

    def run_once(self) -> None:
        self.start()
        assert self.processor is not None
        try:
            self.processor.run_once()
            if self.processor._in_flight is not None:  # so that a run is the same each time
                self.processor._in_flight.join()
        except ClientUnusableError:
            self.processor.close()
            self.processor = None

    def run_times(self, times: int) -> None:
        for _ in range(times):
            self.run_once()

    def crash(self) -> None:
        """Drop everything without closing; the group notices later."""
        if self.consumer is not None:
            self.kafka.owners = {p: owner for p, owner in self.kafka.owners.items() if owner is not self.consumer}
        self.processor = self.consumer = None

    def assign(self, share: set[int]) -> None:
        self.share = share
        if self.consumer is not None:
            self.consumer.share = share


class Simulation(RuleBasedStateMachine):
    @initialize()
    def begin(self) -> None:
        self.kafka = FakeKafka(PARTITIONS)
        self.faults: list[tuple[str, str]] = []
        self.kafka.fault = self.fault
        self.members = [Member(self.kafka, number) for number in range(MEMBERS)]
        self.assign([0, 1, 2])
        for member in self.members:
            member.run_times(4)
        self.copies: dict[int, dict[int, tuple[int, dict[bytes, SeenEntry]]]] = {}

    def fault(self, step: str) -> str | None:
        if self.faults and self.faults[0][0] == step:
            return self.faults.pop(0)[1]
        return None

    @rule(
        records=st.lists(
            st.tuples(st.integers(0, PARTITIONS - 1), st.integers(0, 9), st.booleans()), min_size=1, max_size=12
        )
    )
    def receive(self, records: list[tuple[int, int, bool]]) -> None:
        for partition, number, broken in records:
            body = b"broken" if broken and number % 5 == 0 else b"good"
            self.kafka.append(raw(0, body, event_id=f"{partition}-{number}", partition=partition))

    @rule(partition=st.integers(0, PARTITIONS - 1), number=st.integers(1, 7))
    def transact(self, partition: int, number: int) -> None:
        """Leave transaction markers and aborted records, as other producers do."""
        self.kafka.append_unread(partition, number)

    @rule(number=st.integers(0, MEMBERS - 1), times=st.integers(1, 4))
    def run_once(self, number: int, times: int) -> None:
        for _ in range(times):
            self.members[number].run_once()

    @rule(owners=st.lists(st.integers(0, MEMBERS - 1), min_size=PARTITIONS, max_size=PARTITIONS))
    def assign(self, owners: list[int]) -> None:
        for number, member in enumerate(self.members):
            member.assign({partition for partition, owner in enumerate(owners) if owner == number})
        self.kafka.generation += 1

    @rule(
        fault=st.sampled_from(
            [
                ("write", "aborted"),
                ("write", "broken"),
                ("commit", "aborted"),
                ("commit", "broken"),
                ("commit", "lost answer"),
                ("abort", "broken"),
                ("committed", "broken"),
            ]
        )
    )
    def fail_next(self, fault: tuple[str, str]) -> None:
        self.faults.append(fault)

    @rule(number=st.integers(0, MEMBERS - 1))
    def crash(self, number: int) -> None:
        self.members[number].crash()

    @rule(number=st.integers(0, MEMBERS - 1))
    def close(self, number: int) -> None:
        member = self.members[number]
        if member.processor is not None:
            member.processor.close()
            member.processor = None

    @rule(number=st.integers(0, MEMBERS - 1))
    def lose_membership(self, number: int) -> None:
        member = self.members[number]
        if member.consumer is not None:
            member.consumer.lose = True
            self.kafka.owners = {p: owner for p, owner in self.kafka.owners.items() if owner is not member.consumer}
            self.kafka.generation += 1

    @precondition(lambda self: all(member.processor is None for member in self.members))
    @rule(number=st.integers(0, MEMBERS - 1), how=st.sampled_from(["lost", "kept", "put back"]))
    def tamper_with_states(self, number: int, how: str) -> None:
        self.tamper(number, how)

    @rule(number=st.integers(0, MEMBERS - 1), how=st.sampled_from(["lost", "kept", "put back"]))
    def crash_and_tamper(self, number: int, how: str) -> None:
        self.members[number].crash()
        self.tamper(number, how)

    def tamper(self, number: int, how: str) -> None:
        states = self.members[number].states
        if how == "lost":
            states.clear()
        elif how == "kept":
            self.copies[number] = {p: (s.next_offset, dict(s.entries)) for p, s in states.items()}
        else:
            for partition, (next_offset, entries) in self.copies.get(number, {}).items():
                states[partition] = DictState()
                states[partition].next_offset, states[partition].entries = next_offset, dict(entries)

    def teardown(self) -> None:
        if not hasattr(self, "members"):
            return
        self.faults.clear()
        for _ in range(60 + sum(map(len, self.kafka.raw))):
            for member in self.members:
                member.run_once()
        for member in self.members:
            assert member.processor is not None
            assert member.worker.state == (True, "")
            member.processor.close()
        expected = Counter({identify_output(record) for log in self.kafka.raw for record in log if record})
        found = Counter(identify_output(written) for written in self.kafka.output)
        assert found == expected
        for partition in range(PARTITIONS):
            places = [offset for p, offset in map(origin, self.kafka.output) if p == partition]
            assert places == sorted(places)
        assert not self.kafka.open
        ends = {partition: len(log) for partition, log in enumerate(self.kafka.raw) if log}
        assert {partition: offset for partition, offset in self.kafka.offsets.items() if offset} == ends


def identify_output(record: RawRecord | Written) -> bytes | None:
    if isinstance(record, Written) and record.topic == "events":
        return bytes(fields_of(record)["messageId"].encode())
    return dict(record.headers)["event_id"]


def fields_of(event: Written) -> dict[str, Any]:
    """Return the fields that the mapper set, and the event's origin."""
    return dict(zip(FIELDS, orjson.loads((event.value or b"")[5:]), strict=True))


def origin(written: Written) -> tuple[int, int]:
    if written.topic == "events":
        fields = fields_of(written)
        return fields["context.origin.partition"], fields["context.origin.offset"]
    found = dict(written.headers)
    return int(found["raw_partition"] or b""), int(found["raw_offset"] or b"")


TestSimulation = Simulation.TestCase
TestSimulation.settings = settings(
    max_examples=examples(1.5), stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
)


@pytest.fixture
def kafka() -> FakeKafka:
    return FakeKafka(PARTITIONS)


def member(
    kafka: FakeKafka, options: ProcessorSettings | None = None, make_sink: MakeSink = FakeTransactionSink
) -> Member:
    made = Member(kafka, 0, options, make_sink)
    made.assign({0, 1, 2})
    return made


def test_a_transaction_begins_with_the_first_record(kafka: FakeKafka) -> None:
    one = member(kafka)
    for _ in range(5):
        one.run_once()
        assert not kafka.open


def test_markers_are_passed_over_in_one_transaction_once_there_is_nothing_else(kafka: FakeKafka) -> None:
    commits: list[str] = []
    kafka.fault = lambda step: commits.append(step) if step == "commit" else None
    one = member(kafka)
    kafka.append(raw(event_id="a"))
    for partition in (0, 1):
        kafka.append_unread(partition, 2)
    one.run_times(20)
    assert kafka.offsets == {0: 3, 1: 2}
    assert len(commits) == 2
    kafka.append(raw(event_id="b"))
    one.run_times(20)
    assert kafka.offsets == {0: 4, 1: 2}
    assert len(commits) == 3
    one.crash()
    one.run_times(20)
    assert len(kafka.output) == 2
    assert len(commits) == 3


def test_markers_are_not_passed_over_before_what_is_ahead_of_them(kafka: FakeKafka) -> None:
    """After an abort its records are read again, whatever was read after them."""
    one = member(kafka, ProcessorSettings(batch_max_records=2))
    faults = ["aborted"] * 3
    kafka.fault = lambda step: faults.pop() if step == "commit" and faults else None
    for number in range(4):
        kafka.append(raw(event_id=f"{number}"))
        kafka.append_unread(0, 3)
    with structlog.testing.capture_logs():
        one.run_times(60)
    assert [origin(written)[1] for written in kafka.output] == [0, 4, 8, 12]
    assert kafka.offsets == {0: 16}


def test_a_batch_of_duplicates_alone_moves_the_group(kafka: FakeKafka) -> None:
    one = member(kafka)
    for _ in range(10):
        kafka.append(raw(event_id="same"))
    one.run_times(20)
    assert len(kafka.output) == 1
    assert kafka.offsets == {0: 10}


def test_readiness_waits_for_the_group_and_for_the_state(kafka: FakeKafka) -> None:
    for number in range(50):
        kafka.append(raw(event_id=f"{number}"))
    kafka.offsets = {0: 50}
    one = member(kafka)
    seen = []
    for _ in range(15):
        one.run_once()
        seen.append(one.worker.state)
    assert seen[0] == (False, "not a member of the group")
    assert (False, "catching up on partitions [0]") in seen
    assert seen[-1] == (True, "")
    assert not kafka.output


def test_others_go_on_while_one_catches_up(kafka: FakeKafka) -> None:
    for number in range(500):
        kafka.append(raw(event_id=f"{number}"))
    kafka.append(raw(event_id="x", partition=1))
    kafka.offsets = {0: 500}
    one = member(kafka)
    while not kafka.output:
        one.run_once()
    one.run_once()  # says how things are
    assert one.worker.state == (False, "catching up on partitions [0]")


def test_a_lost_membership_is_not_ready(kafka: FakeKafka) -> None:
    one = member(kafka)
    one.run_times(5)
    assert one.worker.state == (True, "")
    assert one.processor is not None
    assert one.consumer is not None
    one.consumer.is_member = False
    one.run_once()
    assert one.worker.state[0] is False


def test_a_group_that_was_moved_back_processes_again(kafka: FakeKafka) -> None:
    one = member(kafka)
    for number in range(10):
        kafka.append(raw(event_id=f"{number}"))
    one.run_times(20)
    kafka.offsets = {0: 5}
    kafka.append(raw(event_id="10"))
    faults = ["aborted"]
    kafka.fault = lambda step: faults.pop() if step == "commit" and faults else None
    one.run_times(20)
    assert [origin(written)[1] for written in kafka.output] == [*range(10), *range(5, 11)]


def test_too_many_faults_of_ours_stop_it_before_they_are_written(kafka: FakeKafka) -> None:
    one = member(kafka, ProcessorSettings(batch_max_records=5, dead_letter_limit_ratio=0.4, dead_letter_limit_window=5))
    for number in range(5):
        kafka.append(raw(event_id=f"good-{number}"))
    for number in range(5):
        kafka.append(raw(body=b"bug", event_id=f"bug-{number}"))
    with structlog.testing.capture_logs(), pytest.raises(ProcessorHaltedError):
        one.run_times(20)
    assert one.processor is not None
    one.processor.close()
    assert [written.topic for written in kafka.output] == ["events"] * 5
    assert kafka.offsets == {0: 5}
    assert not kafka.open


def test_neither_senders_nor_letters_sent_back_stop_it(kafka: FakeKafka) -> None:
    one = member(kafka, ProcessorSettings(batch_max_records=5, dead_letter_limit_ratio=0.1, dead_letter_limit_window=5))
    for number in range(50):
        kafka.append(raw(body=b"broken", event_id=f"broken-{number}", source="b"))
        kafka.append(raw(body=b"bug", event_id=f"bug-{number}", attempt=1))
    kafka.append(raw(event_id="good"))
    with structlog.testing.capture_logs():
        one.run_times(60)
    assert Counter(written.topic for written in kafka.output) == {"events": 1, "dead letters": 100}
    assert kafka.offsets == {0: 101}


def test_each_step_of_taking_partitions_is_a_sign_of_life(kafka: FakeKafka) -> None:
    """Together they may take longer than a worker may be silent, with dozens of partitions or a slow disk."""
    one = member(kafka)
    one.start()
    assert one.processor is not None
    before = one.worker.beats
    one.processor.run_once()
    assert len(one.processor._deduplicator.partitions) == PARTITIONS
    assert one.worker.beats - before == 1 + 2 * PARTITIONS


class Hanging(FakeTransactionSink):
    """A client whose first commit does not return, as librdkafka's may while the group's coordinator is away."""

    ever: threading.Event
    commits: "itertools.count[int]"

    def commit(self, offsets: Mapping[int, int], group_metadata: Any) -> None:
        if next(self.commits) == 0:
            self.overdue = True
            self.ever.wait()
        super().commit(offsets, group_metadata)


def test_a_commit_that_never_returns_is_left_behind(kafka: FakeKafka, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Hanging, "ever", threading.Event(), raising=False)
    monkeypatch.setattr(Hanging, "commits", itertools.count(), raising=False)
    for number in range(7):
        kafka.append(raw(event_id=f"{number}"))
    one = member(kafka, make_sink=Hanging)
    one.start()
    assert one.processor is not None
    while one.processor._in_flight is None:
        one.processor.run_once()
    hanging = one.processor._in_flight
    until(lambda: one.processor is not None and one.processor._sink.overdue)
    with pytest.raises(ClientUnusableError, match="hangs"):
        one.processor.run_once()
    one.processor.close()
    one.processor = None
    one.run_times(20)
    assert [origin(written)[1] for written in kafka.output] == [*range(7)]
    Hanging.ever.set()  # it returns after all
    hanging.join(PATIENCE_S)
    with pytest.raises(ClientUnusableError):
        hanging.result()
    assert len(kafka.output) == 7


class Refusing(FakeTransactionSink):
    """Brokers that refuse one record for good: `as_event` alone, or as a dead letter too."""

    refused = b"poison"
    as_event_only = True

    def write(self, records: Any, outcomes: Any) -> None:
        super().write(records, outcomes)
        for written in self._kafka.open[self._id].records:
            if identify_output(written) == self.refused and (written.topic == "events" or not self.as_event_only):
                raise TransactionAbortedError("MSG_SIZE_TOO_LARGE", "MSG_SIZE_TOO_LARGE")


@pytest.mark.parametrize("as_event_only", [True, False])
def test_a_record_that_brokers_refuse_ends_as_its_own_dead_letter(
    kafka: FakeKafka, monkeypatch: pytest.MonkeyPatch, as_event_only: bool
) -> None:
    monkeypatch.setattr(Refusing, "as_event_only", as_event_only)
    for number in range(20):
        kafka.append(raw(event_id="poison" if number == 7 else f"{number}"))
    one = member(kafka, make_sink=Refusing)

    def run() -> None:
        with structlog.testing.capture_logs():
            one.run_times(60)

    if as_event_only:
        run()
        assert Counter(written.topic for written in kafka.output) == {"events": 19, "dead letters": 1}
        assert kafka.offsets == {0: 20}
    else:
        with pytest.raises(ProcessorHaltedError, match="refuse a dead letter"):
            run()
        assert len(kafka.output) == 7
        assert kafka.offsets == {0: 7}


class RefusingSome(FakeTransactionSink):
    """Brokers that refuse the events of some records for a reason other than size."""

    def write(self, records: Any, outcomes: Any) -> None:
        super().write(records, outcomes)
        for written in self._kafka.open[self._id].records:
            if identify_output(written) == b"poison" and written.topic == "events":
                raise TransactionAbortedError("INVALID_RECORD", "INVALID_RECORD")


def test_refused_records_of_two_partitions_do_not_take_turns_for_ever(kafka: FakeKafka) -> None:
    for partition in (0, 1):
        for number in range(5):
            kafka.append(raw(event_id="poison" if number == 2 else f"{number}", partition=partition))
    one = member(kafka, make_sink=RefusingSome)
    with structlog.testing.capture_logs():
        one.run_times(60)
    assert kafka.offsets == {0: 5, 1: 5}
    dead = [written for written in kafka.output if written.topic == "dead letters"]
    assert [dict(written.headers)["error_code"] for written in dead] == [b"refused"] * 2


class RefusingEvents(FakeTransactionSink):
    """Brokers that refuse every event for good, as if the topic had a wrong setting."""

    def write(self, records: Any, outcomes: Any) -> None:
        super().write(records, outcomes)
        if any(written.topic == "events" for written in self._kafka.open[self._id].records):
            raise TransactionAbortedError("INVALID_RECORD", "INVALID_RECORD")


def test_brokers_that_refuse_every_event_do_not_stop_it(kafka: FakeKafka) -> None:
    for number in range(50):
        kafka.append(raw(event_id=f"{number}"))
    one = member(
        kafka, ProcessorSettings(dead_letter_limit_ratio=0.2, dead_letter_limit_window=10), make_sink=RefusingEvents
    )
    with structlog.testing.capture_logs():
        one.run_times(400)
    assert [written.topic for written in kafka.output] == ["dead letters"] * 50
    assert kafka.offsets == {0: 50}


class HeldUp(FakeTransactionSink):
    """A commit that ends some time after its partitions are revoked."""

    asked_for = threading.Event()
    then_owned: set[int]

    def commit(self, offsets: Mapping[int, int], group_metadata: Any) -> None:
        self.asked_for.wait(PATIENCE_S)
        threading.Event().wait(0.2)
        type(self).then_owned = set(self._kafka.owners)
        super().commit(offsets, group_metadata)


def test_partitions_are_given_up_only_when_what_is_in_flight_is_finished(
    kafka: FakeKafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = member(kafka, make_sink=HeldUp)
    one.start()
    processor = one.processor
    assert processor is not None
    revoked = processor.revoked

    def asked_for(partitions: Sequence[int]) -> None:
        HeldUp.asked_for.set()
        revoked(partitions)

    monkeypatch.setattr(processor, "revoked", asked_for)
    processor.run_once()
    kafka.append(raw(event_id="a"))
    while processor._in_flight is None:
        processor.run_once()
    one.assign(set())
    with structlog.testing.capture_logs():
        processor.run_once()
    assert kafka.offsets == {0: 1}
    assert HeldUp.then_owned == {0, 1, 2}
    processor.close()


def test_a_membership_lost_in_the_midst_of_a_commit_waits_for_it(kafka: FakeKafka) -> None:
    """Replacing the producer meanwhile would leave two threads with one producer."""
    go, calls = threading.Event(), []

    class Slow(FakeTransactionSink):
        def commit(self, offsets: Mapping[int, int], group_metadata: Any) -> None:
            go.wait(PATIENCE_S)
            calls.append("commit ended")
            raise TransactionAbortedError("lost")

        def abort(self) -> None:
            calls.append("abort")
            super().abort()

    one = member(kafka, make_sink=Slow)
    one.start()
    processor, consumer = one.processor, one.consumer
    assert processor is not None
    assert consumer is not None
    processor.run_once()
    kafka.append(raw(event_id="a"))
    while processor._in_flight is None:
        processor.run_once()
    consumer.lose = True
    one.assign(set())
    threading.Timer(0.2, go.set).start()
    with structlog.testing.capture_logs():
        processor.run_once()
    assert calls == ["commit ended", "abort"]
    processor.close()


@pytest.mark.parametrize("where", ["in the processor", "while partitions are revoked"])
def test_an_aborted_commit_leaves_nothing_behind(kafka: FakeKafka, where: str) -> None:
    """The batch and producer that the error's traceback held are freed without the garbage collector."""
    errors: list[weakref.ref[TransactionAbortedError]] = []

    class Aborting(FakeTransactionSink):
        def commit(self, offsets: Mapping[int, int], group_metadata: Any) -> None:
            if errors:
                super().commit(offsets, group_metadata)
                return
            aborted = TransactionAbortedError("cause")
            errors.append(weakref.ref(aborted))
            try:
                raise aborted
            finally:
                del aborted

    one = member(kafka, make_sink=Aborting)
    one.run_times(2)
    assert one.processor is not None
    gc.disable()
    try:
        with structlog.testing.capture_logs():
            kafka.append(raw(event_id="a"))
            while not errors:
                one.run_once()
            if where != "in the processor":
                one.assign(set())
            one.run_times(2)
        (error,) = errors
        assert error() is None
    finally:
        gc.enable()
    one.processor.close()


@pytest.mark.parametrize("failure", [TransactionAbortedError("cause"), ProducerFencedError("cause")])
def test_an_error_of_the_client_keeps_nothing_that_failed_before_it(
    kafka: FakeKafka, failure: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error of the client never lets go of the one that is being handled while it is raised."""
    producer = Producer({"bootstrap.servers": "127.0.0.1:1", "transactional.id": "unreachable", "log_level": 0})

    def call_the_client(*_: Any) -> None:
        try:
            producer.init_transactions(0.01)
        except KafkaException as error:
            raise ClientUnusableError(error.args[0].name()) from error

    class Failing(FakeTransactionSink):
        def commit(self, offsets: Mapping[int, int], group_metadata: Any) -> None:
            raise type(failure)("cause")

        def abort(self) -> None:
            call_the_client()

    one = member(kafka, make_sink=Failing)
    one.run_times(2)
    assert one.processor is not None
    kafka.append(raw(event_id="a"))
    while one.processor._in_flight is None:
        one.processor.run_once()
    if type(failure) is ProducerFencedError:
        one.processor._await_commit()
        monkeypatch.setattr(FakeGroupConsumer, "pause", call_the_client)  # the first call while it waits for the group
    with structlog.testing.capture_logs(), pytest.raises(ClientUnusableError, match="_TIMED_OUT"):
        one.processor.run()
    one.processor.close()
    gone = weakref.ref(one.processor)
    one.processor = one.consumer = None
    gc.collect()
    assert gone() is None
