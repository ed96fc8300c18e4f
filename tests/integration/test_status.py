"""`sternpost status` on a real broker and registry."""

import json
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from click.testing import CliRunner
from confluent_kafka import Consumer, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from runtime import admin_listener
from runtime.errors import DependencyError
from runtime.kafka import clients, range_consumer
from runtime.kafka.admin import FROM_END, KafkaAdmin
from runtime.schema_registry import Registry, subject_of
from runtime.settings.model import Settings
from schemas import record_headers
from schemas.avro.wire_format import frame
from schemas.track_event import load_schema
from sternpost.cli.main import cli
from sternpost.operations.doctor import lag
from sternpost.operations.status import dead_letters
from sternpost.operations.status.snapshot import Snapshot, StatusCollector
from tests.support.kafka import SettingsMaker, TopicMaker, idempotent_producer
from tests.support.settled import settle
from tests.support.waiting import PATIENCE_S, until


@pytest.fixture
def settings(make_topics: TopicMaker, make_settings: SettingsMaker) -> Settings:
    return make_settings(make_topics(partitions=2))


def write(settings: Settings, topic: str, count: int, partition: int = 0, **record: Any) -> None:
    producer = idempotent_producer(settings.kafka.bootstrap_servers)
    for _ in range(count):
        producer.produce(topic, partition=partition, **record)
    assert producer.flush(PATIENCE_S) == 0


def delete_records(settings: Settings, *before: TopicPartition) -> None:
    """Remove what is below these offsets, as retention does."""
    admin = AdminClient({"bootstrap.servers": settings.kafka.bootstrap_servers})
    for gone in admin.delete_records(list(before)).values():
        gone.result(PATIENCE_S)


def status(settings: Settings, *arguments: str) -> list[dict[str, Any]]:
    options = [
        f"--set=kafka.bootstrap_servers={settings.kafka.bootstrap_servers}",
        f"--set=schema_registry.url={settings.schema_registry.url}",
        f"--set=processor.group_id={settings.processor.group_id}",
        "--set=processor.admin_port=1",
        "--set=ingest.admin_port=1",
        *(f"--set=topics.{name}={value}" for name, value in settings.topics.model_dump().items()),
    ]
    result = CliRunner().invoke(cli, [*options, "status", "--interval-s", "0.1", *arguments])
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout.splitlines()] if "--json" in arguments else [{"": result.stdout}]


def test_the_shape_for_scripts_with_no_processor_at_all(settings: Settings) -> None:
    write(settings, settings.topics.raw, 3, partition=1)
    (found,) = status(settings, "--json")

    assert found.pop("at").endswith("Z")
    assert found.pop("cluster")["brokers"] == 1
    assert found["group"] == {"id": settings.processor.group_id, "state": "dead", "members": []}
    assert found["lag"]["records"] == 3
    seconds = found["partitions"][1].pop("lag_seconds")
    assert seconds == found["lag"]["seconds"] >= 0
    assert found["partitions"][1] == {
        "partition": 1,
        "start": 0,
        "end": 3,
        "high_watermark": 3,
        "committed": None,
        "lag": 3,
        "expired": 0,
    }
    assert set(found["throughput"]) == {"received_per_s", "processed_per_s", "interval_s"}
    assert found["dead_letters"] == {
        "open": 0,
        "by_code": {},
        "by_source": {},
        "redriven": 0,
        "complete": True,
    }
    assert found["duplicates"] is None
    assert set(found["schema"]) == {"subject", "id", "version", "newest_event_id", "problem"}
    assert "sternpost schema register" in found["schema"]["problem"]
    assert set(found["services"]) == {"ingest", "processor"}
    processor = found["services"]["processor"]
    assert (processor["reachable"], processor["ready"], processor["metrics"]) == (False, False, {})
    assert "no answer" in processor["reason"]


def test_the_lag_is_of_the_oldest_record_that_is_not_processed(settings: Settings) -> None:
    raw, now = settings.topics.raw, int(time.time() * 1000)
    write(settings, raw, 2, timestamp=now - 600_000)
    write(settings, raw, 1, timestamp=now - 60_000)
    consumer = Consumer(
        {"bootstrap.servers": settings.kafka.bootstrap_servers, "group.id": settings.processor.group_id}
    )
    consumer.commit(offsets=[TopicPartition(raw, 0, 2)], asynchronous=False)
    consumer.close()

    snapshot = StatusCollector(settings).collect()
    assert snapshot.lag == 1
    assert snapshot.lag_seconds is not None
    assert 60 <= snapshot.lag_seconds < 500
    assert snapshot.partitions[0].committed == 2
    assert snapshot.throughput is None


def test_lag_is_counted_to_the_last_stable_offset(settings: Settings) -> None:
    producer = Producer(
        {"bootstrap.servers": settings.kafka.bootstrap_servers, "transactional.id": settings.topics.raw}
    )
    producer.init_transactions(PATIENCE_S)
    producer.begin_transaction()
    producer.produce(settings.topics.raw, value=b"open", partition=0)
    producer.flush(PATIENCE_S)
    partition = StatusCollector(settings).collect().partitions[0]
    producer.abort_transaction(PATIENCE_S)
    assert (partition.end, partition.high_watermark, partition.lag) == (0, 1, 0)


def test_transaction_markers_and_aborted_records_alone_are_nothing_to_process(settings: Settings) -> None:
    """With no processor that would commit past them."""
    raw = settings.topics.raw
    producer = Producer({"bootstrap.servers": settings.kafka.bootstrap_servers, "transactional.id": raw})
    producer.init_transactions(PATIENCE_S)
    for end in (producer.commit_transaction, producer.abort_transaction):
        producer.begin_transaction()
        producer.produce(raw, value=b"{}", partition=0)
        producer.flush(PATIENCE_S)
        end(PATIENCE_S)
    settle(settings, raw)
    consumer = Consumer(
        {"bootstrap.servers": settings.kafka.bootstrap_servers, "group.id": settings.processor.group_id}
    )
    looker = StatusCollector(settings)
    assert [(p.end, p.lag) for p in looker.collect().partitions] == [(4, 4), (0, 0)]
    consumer.commit(offsets=[TopicPartition(raw, 0, 1)], asynchronous=False)
    consumer.close()
    snapshot = looker.collect()
    assert [(p.committed, p.end, p.lag) for p in snapshot.partitions] == [(1, 4, 0), (None, 0, 0)]
    assert (snapshot.lag, snapshot.lag_seconds) == (0, None)
    assert by_lag(settings) == ["0 records behind, and none in danger of retention"]
    write(settings, raw, 1)
    assert looker.collect().lag == 4
    assert by_lag(settings)[0].startswith("4 records behind")


def test_a_snapshot_takes_few_clients(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each takes a handshake, and on Amazon MSK a second."""
    write(settings, settings.topics.raw, 1)
    write(settings, settings.topics.dead_letters, 1)
    write(settings, settings.topics.events, 1)
    made, make = list[str](), clients._make

    def counted(kind: type[Any], *arguments: Any) -> Any:
        made.append(kind.__name__)
        return make(kind, *arguments)

    monkeypatch.setattr(clients, "_make", counted)
    StatusCollector(settings).collect()
    # One for all questions, and readers: of the group, the oldest record behind, dead letters, the newest event.
    assert Counter(made) == {"AdminClient": 1, "Consumer": 4}


def by_lag(settings: Settings) -> list[str]:
    return [check.detail for check in lag.check(settings) if check.name == "lag"]


def test_members_and_throughput(settings: Settings) -> None:
    consumer = Consumer(
        {
            "bootstrap.servers": settings.kafka.bootstrap_servers,
            "group.id": settings.processor.group_id,
            "group.instance.id": "machine-0",
            "auto.offset.reset": "earliest",
        }
    )
    consumer.subscribe([settings.topics.raw])
    write(settings, settings.topics.raw, 5)
    looker = StatusCollector(settings)
    looker.collect()
    try:
        assert len(consumer.consume(5, PATIENCE_S)) == 5
        consumer.commit(asynchronous=False)
        write(settings, settings.topics.raw, 2)
        snapshot = looker.collect()
    finally:
        consumer.close()
    assert snapshot.group.state == "stable"
    assert [(member.instance_id, member.partitions) for member in snapshot.group.members] == [("machine-0", [0, 1])]
    assert snapshot.throughput is not None
    assert round(snapshot.throughput.processed * snapshot.throughput.interval_s) == 5
    assert round(snapshot.throughput.received * snapshot.throughput.interval_s) == 2


def test_dead_letters_that_were_sent_back_are_not_open_and_none_is_read_twice(settings: Settings) -> None:
    topic = settings.topics.dead_letters
    letters = dead_letters.DeadLetterCounter(settings)
    for code, count in (("malformed_json", 2), ("invalid_field", 1)):
        write(settings, topic, count, value=b"{", headers={record_headers.ERROR_CODE: code})
    write(
        settings,
        topic,
        2,
        value=b"{",
        headers={record_headers.ERROR_CODE: "malformed_json", record_headers.SOURCE: "shop"},
    )
    before = {("malformed_json", "default"): 2, ("invalid_field", "default"): 1, ("malformed_json", "shop"): 2}
    assert letters.count() == (before, 0, True)
    write(settings, topic, 1, headers={record_headers.REDRIVEN_OFFSET: "0"})
    found = letters.count()
    assert found == ({**before, ("malformed_json", "default"): 1}, 1, True)
    assert found.as_json() == {
        "open": 4,
        "by_code": {"malformed_json": 3, "invalid_field": 1},
        "by_source": {"default": {"malformed_json": 1, "invalid_field": 1}, "shop": {"malformed_json": 2}},
        "redriven": 1,
        "complete": True,
    }


def test_of_very_many_dead_letters_the_newest_are_counted(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dead_letters, "MOST", 4)
    topic = settings.topics.dead_letters
    letters = dead_letters.DeadLetterCounter(settings)
    write(settings, topic, 5, value=b"{", headers={record_headers.ERROR_CODE: "malformed_json"})
    write(settings, topic, 1, value=b"{", headers={record_headers.ERROR_CODE: "invalid_field"}, partition=1)
    assert letters.count() == ({("malformed_json", "default"): 2, ("invalid_field", "default"): 1}, 0, False)
    write(settings, topic, 1, headers={record_headers.REDRIVEN_OFFSET: "4"})
    assert letters.count() == ({("malformed_json", "default"): 1, ("invalid_field", "default"): 1}, 1, False)


def test_dead_letters_that_are_gone_from_the_topic_are_not_counted(settings: Settings, make_topics: TopicMaker) -> None:
    topic = settings.topics.dead_letters
    letters = dead_letters.DeadLetterCounter(settings)
    write(settings, topic, 4, value=b"{", headers={record_headers.ERROR_CODE: "malformed_json"})
    write(settings, topic, 2, value=b"{", headers={record_headers.ERROR_CODE: "invalid_field"}, partition=1)
    assert letters.count() == ({("malformed_json", "default"): 4, ("invalid_field", "default"): 2}, 0, True)
    delete_records(settings, TopicPartition(topic, 0, 3), TopicPartition(topic, 1, 2))
    assert letters.count() == ({("malformed_json", "default"): 1}, 0, True)

    make_topics.remove()
    make_topics.create([topic], 2)
    until(lambda: not any(KafkaAdmin(settings).offsets(topic, dict.fromkeys(range(2), FROM_END)).values()))
    write(settings, topic, 1, value=b"{", headers={record_headers.ERROR_CODE: "internal_error"})
    assert letters.count() == ({("internal_error", "default"): 1}, 0, True)


def test_dead_letters_are_counted_once_brokers_are_back(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    write(settings, settings.topics.dead_letters, 5, value=b"{", headers={record_headers.ERROR_CODE: "malformed_json"})
    letters, read_ranges = dead_letters.DeadLetterCounter(settings), range_consumer.read_ranges

    def breaking_off(*arguments: Any) -> Iterator[list[Message]]:
        for messages in read_ranges(*arguments):
            yield messages[:2]
            raise DependencyError("brokers are away")

    with monkeypatch.context() as away:
        away.setattr(range_consumer, "read_ranges", breaking_off)
        with pytest.raises(DependencyError):
            letters.count()
    assert letters.count() == ({("malformed_json", "default"): 5}, 0, True)


def test_the_number_of_dead_letters_that_are_counted_is_bounded(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dead_letters, "MOST", 4)
    topic = settings.topics.dead_letters
    letters = dead_letters.DeadLetterCounter(settings)
    for number in range(4):
        write(settings, topic, 1, value=b"{", headers={record_headers.ERROR_CODE: "malformed_json"})
        found = letters.count()
        assert (found.by_code().total(), found.complete) == (min(number + 1, 2), number < 2)
    delete_records(settings, TopicPartition(topic, 0, 3))
    assert letters.count() == ({("malformed_json", "default"): 1}, 0, True)


def test_schema_and_the_newest_events_schema(settings: Settings) -> None:
    registry = Registry(settings.schema_registry)
    registered = registry.register(subject_of(settings.topics.events), load_schema())
    registry.close()
    write(settings, settings.topics.events, 1, value=frame(7) + b"rest")
    schema = StatusCollector(settings).collect().schema
    assert (schema.id, schema.version, schema.newest_event_id, schema.problem) == (registered.id, 1, 7, None)


def test_services_say_how_they_are(settings: Settings, make_settings: SettingsMaker) -> None:
    reason = "worker 0: catching up on partitions [1]"
    listener = admin_listener.serve("127.0.0.1", 0, ready=lambda: (False, reason), alive=lambda: (True, ""))
    try:
        reachable = make_settings(settings.topics, processor={"admin_port": listener.port, "admin_host": "0.0.0.0"})
        _, processor = StatusCollector(reachable).collect().services
    finally:
        listener.close()
    assert (processor.ready, processor.reason) == (False, reason)


def test_watching_and_the_view_for_people(settings: Settings) -> None:
    write(settings, settings.topics.raw, 3)
    for number in range(12):
        of_letter = {record_headers.ERROR_CODE: "malformed_json", record_headers.SOURCE: f"source-{number}"}
        write(settings, settings.topics.dead_letters, 20 - number, value=b"{", headers=of_letter)
    assert [line["lag"]["records"] for line in status(settings, "--watch", "--count", "2", "--json")] == [3, 3]
    ((shown,),) = [found.values() for found in status(settings)]
    assert "no processor is running" in shown
    assert "3 records" in shown
    assert "20 malformed_json of source-0, 19 malformed_json of source-1" in " ".join(shown.split())
    assert "and 19 of 2 more kinds" in " ".join(shown.split())


def test_watching_goes_on_while_brokers_are_away(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    look, looks = StatusCollector.collect, iter(range(4))

    def sometimes(looker: StatusCollector) -> Snapshot:
        if next(looks) == 1:
            raise DependencyError("brokers are away")
        return look(looker)

    monkeypatch.setattr(StatusCollector, "collect", sometimes)
    assert len(status(settings, "--watch", "--count", "3", "--json")) == 3
    assert next(looks, None) is None
