"""The contract of the processor's transport, on Kafka itself with both group protocols, and what only Kafka has."""

import contextlib
import gc
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition

from processor.deduplication.state_restore import KafkaRestoreConsumer
from processor.group_consumer import KafkaGroupConsumer
from processor.interfaces import RestoreConsumer, TransactionSink
from processor.pipeline.records import RawRecord
from processor.transaction_sink import KafkaTransactionSink
from runtime.errors import ProducerFencedError
from runtime.kafka.command_transactions import CommandTransactions
from runtime.kafka.transactional_producer import TransactionalProducer
from runtime.settings.model import GroupProtocol, Settings, TopicSettings
from tests.contract.transport import VISIBLE_S, TransportContract, records_of
from tests.contract.world import BATCH, MAX_EVENT_BYTES, PARTITIONS, Diary, Member
from tests.support.fake_kafka import Written
from tests.support.groups import HEARTBEAT_MS, set_session_timeout
from tests.support.kafka import Kafka, SettingsMaker, TopicMaker, idempotent_producer
from tests.support.waiting import PATIENCE_S, until

SESSION_MS = 6_000
"""As short as brokers allow by default, and so is the time between two polls: members are to lose their place."""

PATIENT_MS = 60_000
"""Where they are not, nor may brokers abort a transaction."""


class KafkaWorld:
    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.first_keeps_its_place = settings.processor.group_protocol is GroupProtocol.CONSUMER
        self.diary: Diary = []
        self._producer = idempotent_producer(settings.kafka.bootstrap_servers, {"linger.ms": 1})
        self._reader = Consumer(
            {
                "bootstrap.servers": settings.kafka.bootstrap_servers,
                "group.id": "reader",
                "isolation.level": "read_committed",
                "enable.partition.eof": True,
                "enable.auto.commit": False,
                "fetch.wait.max.ms": 10,
            }
        )
        self._members: list[Member] = []
        self._sinks: list[KafkaTransactionSink] = []

    def append(self, records: Iterable[RawRecord]) -> list[RawRecord]:
        return self._send(self._producer, records)

    def transact(self, records: Iterable[RawRecord], *, commit: bool) -> list[RawRecord]:
        producer = Producer(
            {
                "bootstrap.servers": self.settings.kafka.bootstrap_servers,
                "transactional.id": f"{self.settings.topics.raw}-{uuid.uuid4().hex}",
                "linger.ms": 1,
            }
        )
        producer.init_transactions(PATIENCE_S)
        producer.begin_transaction()
        sent = self._send(producer, records)
        if commit:
            producer.commit_transaction(PATIENCE_S)
            return sent
        producer.abort_transaction(PATIENCE_S)
        return []

    def _send(self, producer: Producer, records: Iterable[RawRecord]) -> list[RawRecord]:
        topic = self.settings.topics.raw
        sent, offsets = list(records), list[int]()

        def delivered(_: object, message: Message) -> None:
            offsets.append(message.offset() or 0)

        for record in sent:
            producer.produce(
                topic,
                record.value,
                record.key,
                record.partition,
                headers=record.headers,  # type: ignore[arg-type]
                timestamp=record.timestamp_ms,
                on_delivery=delivered,
            )
            assert producer.flush(PATIENCE_S) == 0
        return [record.replace(topic=topic, offset=at) for record, at in zip(sent, offsets, strict=True)]

    def member(self, name: str) -> Member:
        member = Member(name, self.diary, lambda listener: KafkaGroupConsumer(self.settings, name, listener))
        self._members.append(member)
        return member

    def time_out(self, member: Member) -> None:
        """That it does not poll is enough."""

    def sink(self, name: str) -> TransactionSink:
        sink = KafkaTransactionSink(self.settings, f"{self.settings.processor.group_id}-{name}")
        self._sinks.append(sink)
        return sink

    def history(self, window_s: int) -> RestoreConsumer:
        processor = self.settings.processor.model_copy(update={"dedup_window_s": window_s})
        return KafkaRestoreConsumer(self.settings.model_copy(update={"processor": processor}))

    def output(self) -> list[Written]:
        kinds = {self.settings.topics.events: "events", self.settings.topics.dead_letters: "dead letters"}
        reader = self._reader
        reader.assign([TopicPartition(topic, 0, 0) for topic in kinds])
        found: list[Written] = []
        at_end: set[str | None] = set()
        while len(at_end) < len(kinds):
            for message in reader.consume(1000, 0.02):
                if message.error() is None:
                    kind, headers = kinds[message.topic() or ""], message.headers() or []
                    at_ms = message.timestamp()[1]
                    found.append(Written(kind, message.key(), message.value(), headers, at_ms))  # type: ignore[arg-type]
                else:
                    assert message.error().code() == KafkaError._PARTITION_EOF, message.error()  # type: ignore[union-attr]
                    at_end.add(message.topic())
        return sorted(found, key=lambda written: written.topic != "events")

    def close(self) -> None:
        for sink in self._sinks:
            sink.close()
        for member in self._members:
            member.when_revoked = lambda _: None
            member.source.close()
        self._reader.close()


@pytest.fixture(params=GroupProtocol)
def world(
    kafka: Kafka, make_topics: TopicMaker, make_settings: SettingsMaker, request: pytest.FixtureRequest
) -> Iterator[KafkaWorld]:
    protocol: GroupProtocol = request.param
    prefix = f"test-{uuid.uuid4().hex[:12]}"
    topics = TopicSettings(raw=f"{prefix}.raw", events=f"{prefix}.events", dead_letters=f"{prefix}.dead-letters")
    make_topics.create([topics.raw], PARTITIONS)
    make_topics.create([topics.events], 1, {"max.message.bytes": str(MAX_EVENT_BYTES)})
    make_topics.create([topics.dead_letters], 1)
    session_ms = PATIENT_MS
    if request.node.get_closest_marker("members_time_out"):
        session_ms = SESSION_MS
    classic = protocol is GroupProtocol.CLASSIC
    settings = make_settings(
        topics,
        kafka={"properties": {"heartbeat.interval.ms": str(HEARTBEAT_MS)} if classic else {}},
        processor={
            "group_protocol": protocol,
            "batch_max_records": BATCH,
            **({"session_timeout_ms": session_ms} if classic else {}),
            "max_poll_interval_ms": session_ms,
            "transaction_timeout_ms": session_ms - 500,
        },
    )
    if not classic:
        try:
            set_session_timeout(kafka.bootstrap_servers, settings.processor.group_id, session_ms)
        except KafkaException as error:
            if kafka.origin != "given":
                raise
            pytest.skip(f"the cluster does not take a session time-out of {session_ms} ms for a group: {error}")
    world = KafkaWorld(settings)
    yield world
    world.close()


class TestTransportOnKafka(TransportContract):
    def test_lag_does_not_count_what_is_not_committed(self, world: KafkaWorld) -> None:
        """Or a transaction left open on the raw topic would look like a processor that stands still."""
        one = world.member("one")
        world.append(records_of(0, 2))
        one.receive(2)
        topic = world.settings.topics.raw
        other = Producer({"bootstrap.servers": world.settings.kafka.bootstrap_servers, "transactional.id": topic})
        other.init_transactions(PATIENCE_S)
        other.begin_transaction()
        for _ in range(3):
            other.produce(topic, b"{}", partition=0)
        assert other.flush(PATIENCE_S) == 0
        world.append(records_of(1, 1))
        one.receive(1)
        for _ in range(10):
            assert one.poll() == []
        # If the brokers do not answer at once, the member makes do with the high watermark.
        until(lambda: one.source.lag([0]) == {0: 0}, VISIBLE_S)
        other.commit_transaction(PATIENCE_S)
        one.receive(3)


def test_an_abandoned_producer_is_gone(make_topics: TopicMaker, make_settings: SettingsMaker) -> None:
    """As one is whose call does not return: with records that nobody will hear of, and threads and connections."""
    settings = make_settings(make_topics(partitions=1))
    gc.collect()
    before = client_threads()
    producer = TransactionalProducer(settings, settings.topics.raw, PATIENT_MS)
    assert client_threads() > before
    producer.begin()
    for _ in range(10):
        producer.produce(settings.topics.raw, b"{}")
    del producer
    until(lambda: client_threads() <= before)


@pytest.mark.parametrize("call", ["write", "commit", "abort"])
def test_a_fenced_producer_is_gone(call: str, make_topics: TopicMaker, make_settings: SettingsMaker) -> None:
    """The client raises its fatal error again while it is polled for what else it has to say, and when it is closed."""
    settings = make_settings(make_topics(partitions=1))
    topic = settings.topics.raw
    gc.collect()
    before = client_threads()
    producer = CommandTransactions(settings, topic)
    producer.begin()
    producer.produce(topic, b"{}")
    successor = CommandTransactions(settings, topic)
    if call == "abort":
        with pytest.raises(ZeroDivisionError), producer.transaction():
            raise ZeroDivisionError
    else:
        with pytest.raises(ProducerFencedError):  # noqa: PT012 (writing goes well until the client knows)
            if call == "commit":
                producer.commit([], None)
            while True:
                producer.produce(topic, b"{}")
                with contextlib.suppress(KafkaException):
                    producer._producer.flush(0.1)
    del producer, successor
    gc.collect()
    until(lambda: client_threads() <= before)


def client_threads() -> int:
    """Return how many threads of librdkafka this process has."""
    names = []
    for thread in Path("/proc/self/task").iterdir():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it has just ended
            names.append((thread / "comm").read_text())
    return sum(name.startswith("rdk:") for name in names)
