"""`sternpost process` as it runs, hurt from outside: each raw record comes out once, as an event or a dead letter."""

import os
import random
import shutil
import signal
import threading
import time
import urllib.request
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from confluent_kafka import Consumer, Message, TopicPartition

from runtime.kafka import range_consumer
from runtime.kafka.clients import make_admin
from runtime.settings.model import Settings, SourceSettings
from sternpost.local.services import environment_for
from sternpost.operations import schema
from sternpost.operations.add_partitions import increase_partitions
from sternpost.operations.changes_allowed import ChangesAllowed
from sternpost.operations.dead_letters.redrive import redrive
from sternpost.operations.dead_letters.selection import Selection
from sternpost.operations.status.snapshot import StatusCollector
from tests.chaos.oracle import decoder, place
from tests.chaos.pipeline import Service
from tests.support import raw_records
from tests.support.kafka import Kafka, SettingsMaker, TopicMaker, idempotent_producer
from tests.support.settled import settle
from tests.support.waiting import PATIENCE_S, ended, until

PARTITIONS = 4
PEOPLE = 40
SESSION_MS = 10_000
"""Short, for tests that wait for one to end, and yet longer than a busy machine lets a process stand still."""

Start = Callable[..., Service]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """`start(settings, instance_id, **processor)`: one more processor, killed at the end if it is still there."""
    started: list[Service] = []

    def start(settings: Settings, instance_id: str, **processor: object) -> Service:
        ours = {"instance_id": instance_id, "state_dir": tmp_path / f"state-{instance_id}", **processor}
        changed = settings.model_copy(update={"processor": settings.processor.model_copy(update=ours)})
        service = Service(f"{instance_id}-{len(started)}", "process", environment_for(changed), tmp_path)
        started.append(service)
        service.start()
        return service

    yield start
    for service in started:
        service.signal_all(signal.SIGCONT)
        service.kill()


class Group:
    """Where the group is, asked from outside of it."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._consumer = Consumer(
            {"bootstrap.servers": settings.kafka.bootstrap_servers, "group.id": settings.processor.group_id}
        )

    def done(self) -> int:
        """Offsets of the raw topic that are behind it."""
        asked = [TopicPartition(self._settings.topics.raw, partition) for partition in range(PARTITIONS)]
        return sum(max(0, found.offset) for found in self._consumer.committed(asked, timeout=PATIENCE_S))

    def close(self) -> None:
        self._consumer.close()


def settings_for(
    make_topics: TopicMaker, make_settings: SettingsMaker, *, short_sessions: bool = False, **processor: object
) -> Settings:
    kafka: dict[str, Any] = {}
    if short_sessions:
        processor |= {"session_timeout_ms": SESSION_MS, "transaction_timeout_ms": SESSION_MS // 2}
        kafka = {"properties": {"heartbeat.interval.ms": "500"}}
    topics = make_topics(partitions=PARTITIONS)
    settings = make_settings(topics, kafka=kafka, processor={"batch_max_records": 100, **processor})
    schema.register(settings, ChangesAllowed())
    return settings


def send(settings: Settings, records: Iterable[tuple[str, bytes, bytes, dict[str, str]]]) -> int:
    """(person, event id, body, further headers) as ingest writes them; gives how many."""
    producer = idempotent_producer(settings.kafka.bootstrap_servers, {"linger.ms": 5})
    number = 0
    for person, event_id, body, more in records:
        headers: dict[str, str | bytes | None] = {"source": "test", "event_id": event_id, **more}
        producer.produce(settings.topics.raw, body, person, headers=headers)
        number += 1
    assert producer.flush(PATIENCE_S) == 0
    return number


def payload(event_id: str, customer_id: str | None = "42", **top: Any) -> bytes:
    """Dated now: brokers remove what is older than they keep."""
    return raw_records.payload(event_id, customer_id, **{"timestamp": int(time.time()), **top})


def of_people(first: int, number: int) -> Iterator[tuple[str, bytes, bytes, dict[str, str]]]:
    """Events numbered from `first` on, of many people in turn; and each tenth sent again at once."""
    for count in range(first, first + number):
        person = f"person-{count % PEOPLE}"
        event_id = f"{person}-{count}"
        one = person, event_id.encode(), payload(event_id, person), dict[str, str]()
        yield from [one] * (2 if count % 10 == 0 else 1)


def events(kafka: Kafka, settings: Settings) -> list[tuple[Message, dict[str, Any]]]:
    settle(settings)
    decode = decoder(kafka.registry_url)
    return [(one, decode(one.value() or b"")) for one in range_consumer.read(settings, settings.topics.events)]


def letters(settings: Settings) -> list[tuple[Message, dict[str, bytes | None]]]:
    settle(settings)
    return [
        (one, dict(range_consumer.headers_of(one)))
        for one in range_consumer.read(settings, settings.topics.dead_letters)
    ]


def test_each_event_once_and_in_order_whatever_happens_to_the_processes(
    kafka: Kafka, make_topics: TopicMaker, make_settings: SettingsMaker, start: Start, tmp_path: Path
) -> None:
    settings = settings_for(make_topics, make_settings, short_sessions=True)
    group = Group(settings)
    first = start(settings, "one")
    sent = send(settings, of_people(0, 6_000))
    until(lambda: group.done() > 500)

    # Killed with a transaction open, and its state gone: what it did is known from the raw topic.
    workers = psutil.Process(first.pid).children(recursive=True)
    first.signal_all(signal.SIGKILL)
    until(lambda: all(map(ended, workers)))  # one that is in the middle of a call to the system finishes it
    shutil.rmtree(tmp_path / "state-one")
    killed_at = group.done()
    assert killed_at < sent, "it was killed in the middle of it"
    first = start(settings, "one")
    first.wait_ready()
    until(lambda: group.done() > killed_at)

    # Another one joins in the middle of it, and takes over what the first, frozen, has.
    second = start(settings, "two")
    second.wait_ready()
    first.signal_all(signal.SIGSTOP)
    sent += send(settings, of_people(6_000, 1_000))
    until(lambda: group.done() >= sent)
    first.signal_all(signal.SIGCONT)
    sent += send(settings, of_people(7_000, 1_000))
    first.wait_ready()
    until(lambda: group.done() >= sent)

    # One leaves in good order while there is more to do, and the other has all of it.
    sent += send(settings, of_people(8_000, 1_000))
    second.stop(PATIENCE_S)
    assert second.exit_code == 0
    until(lambda: group.done() >= sent)
    first.stop(PATIENCE_S)
    assert first.exit_code == 0
    group.close()

    found = defaultdict(list)
    origins = defaultdict(list)
    for one, event in events(kafka, settings):
        found[event["userId"]].append(event["messageId"])
        origins[event["messageId"]].append(f"{place(one)} of raw {event['context']['origin']}")
    assert {event_id: of for event_id, of in origins.items() if len(of) > 1} == {}, "doubled"
    expected = {
        f"person-{person}": [f"person-{person}-{count}" for count in range(person, 9_000, PEOPLE)]
        for person in range(PEOPLE)
    }
    missing = sorted({e for ids in expected.values() for e in ids} - origins.keys())
    assert missing == []
    assert found == expected, "in order"
    assert letters(settings) == []


def test_of_two_processes_with_one_name_one_ends_and_says_why(
    kafka: Kafka, make_topics: TopicMaker, make_settings: SettingsMaker, start: Start
) -> None:
    # Small batches, so that it has to do all the while.
    settings = settings_for(make_topics, make_settings, short_sessions=True, batch_max_records=10)
    group = Group(settings)
    load = 4_000
    sent = send(settings, of_people(0, load))
    first = start(settings, "same")
    first.wait_ready()
    second = start(settings, "same", state_dir=Path(first.log).with_name("another"))
    until(lambda: first.pid is None or second.pid is None)
    ended, other = (first, second) if first.pid is None else (second, first)
    assert ended.exit_code == 78, ended.output()
    assert "processor.instance_id" in ended.output()
    assert "Traceback" not in ended.output()
    other.wait_ready()
    until(lambda: group.done() >= sent)
    group.close()
    assert other.pid is not None
    other.stop(PATIENCE_S)
    assert Counter(event["messageId"] for _, event in events(kafka, settings)) == {
        f"person-{count % PEOPLE}-{count}": 1 for count in range(load)
    }


def test_dead_letters_and_duplicates(
    kafka: Kafka, make_topics: TopicMaker, make_settings: SettingsMaker, start: Start, tmp_path: Path
) -> None:
    settings = settings_for(make_topics, make_settings)
    group = Group(settings)
    noise = random.Random(1).randbytes(100_000).hex()
    body = payload("a", "ann")
    large = payload("large", "ann", data={"customer_id": "ann", "subject": noise})
    poison = {
        b"no-json": (b"\xff\x00 no JSON", "malformed_json"),
        b"array": (b"[1]", "not_an_object"),
        b"nobody": (payload("nobody", None), "missing_identity"),
        b"wrong": (payload("wrong", data={"customer_id": "ann", "action_id": "no number"}), "invalid_field"),
    }
    # The topic of events takes less than the settings say: what the core lets through, the broker refuses.
    make_topics.create([f"{settings.topics.events}.small"], 1, {"max.message.bytes": "20000"})
    small = settings.topics.model_copy(update={"events": f"{settings.topics.events}.small"})
    settings = settings.model_copy(update={"topics": small})
    schema.register(settings, ChangesAllowed())
    sent = send(
        settings,
        [
            *of_people(0, 100),
            ("ann", b"a", body, {}),
            ("ann", b"a", body, {}),
            ("ann", b"a", body, {"source": "other"}),
            ("ann", b"a", body, {"attempt": "1"}),
            ("ann", b"a", body, {"attempt": "1"}),
            *(("ann", event_id, bad, {"mine": "kept"}) for event_id, (bad, _) in poison.items()),
            ("ann", b"large", large, {}),
            *of_people(100, 100),
        ],
    )
    first = start(settings, "one")
    until(lambda: group.done() >= sent)
    said = settings.processor.model_copy(update={"admin_port": first.admin_port})
    looker = StatusCollector(settings.model_copy(update={"processor": said}))
    duplicates = sent - 200 - len({"a", "other", "attempt"}) - len(poison) - len({"large"})
    until(lambda: looker.collect().duplicates == duplicates)
    first.stop(PATIENCE_S)
    assert first.exit_code == 0, first.output()

    ids = Counter(event["messageId"] for _, event in events(kafka, settings))
    expected = {f"person-{count % PEOPLE}-{count}": 1 for count in range(200)} | {"a": 3}
    assert ids == expected
    dead = {headers["event_id"]: (one, headers) for one, headers in letters(settings)}
    assert dead.keys() == poison.keys() | {b"large"}
    assert len(letters(settings)) == len(dead)
    for event_id, (bad, code) in poison.items():
        one, headers = dead[event_id]
        assert (one.value(), one.key(), headers["mine"]) == (bad, b"ann", b"kept")
        assert headers["error_code"] == code.encode()
    one, headers = dead[b"large"]
    assert (one.value(), headers["error_code"], headers["error_stage"]) == (large, b"too_large", b"produce")

    # Another run, whose state on disk is no longer what RocksDB wrote.
    corrupted = [path for path in (tmp_path / "state-one").rglob("*") if path.is_file() and path.suffix != ".lock"]
    assert corrupted
    for path in corrupted:
        path.write_bytes(os.urandom(64))
    sent += send(settings, of_people(0, 200))
    second = start(settings, "one")
    until(lambda: group.done() >= sent)
    second.stop(PATIENCE_S)
    group.close()
    assert "Traceback" not in second.output()
    assert Counter(event["messageId"] for _, event in events(kafka, settings)) == expected
    assert len(letters(settings)) == len(dead)


def test_what_one_source_sends_stops_no_other(
    kafka: Kafka, make_topics: TopicMaker, make_settings: SettingsMaker, start: Start
) -> None:
    """And no letters that are sent back and fail again."""
    settings = settings_for(make_topics, make_settings)
    settings = settings.model_copy(update={"sources": [SourceSettings(name=name, write_keys=[name]) for name in "ab"]})
    nonsense = b'{"type":"order.created"}'
    of_b = [(f"{number}", f"b-{number}".encode(), nonsense, {"source": "b"}) for number in range(3_000)]
    again = [(f"{number}", f"c-{number}".encode(), b"[]", {"source": "c", "attempt": "1"}) for number in range(1_200)]
    of_a = [
        (f"{number}", f"a-{number}".encode(), payload(f"a-{number}", f"{number}"), {"source": "a"})
        for number in range(300)
    ]
    sent = send(settings, [*of_b, *again, *of_a])
    group = Group(settings)
    one = start(settings, "one")
    until(lambda: group.done() >= sent or one.pid is None)
    group.close()
    assert one.pid is not None, one.output()
    until(lambda: 'processor_dead_letters_total{code="not_an_object",source="other"} 1200' in exposed(one))
    assert 'processor_dead_letters_total{code="missing_identity",source="b"} 3000' in exposed(one)
    one.stop(PATIENCE_S)
    assert one.exit_code == 0, one.output()
    assert Counter(event["messageId"] for _, event in events(kafka, settings)) == {f"a-{n}": 1 for n in range(300)}
    assert Counter(found["source"] for _, found in letters(settings)) == {b"b": 3_000, b"c": 1_200}


def test_nothing_is_behind_after_a_redrive_of_letters_that_fail_again(
    make_topics: TopicMaker, make_settings: SettingsMaker, start: Start
) -> None:
    settings = settings_for(make_topics, make_settings)
    nobody = [(f"{number}", f"n-{number}".encode(), b"{}", dict[str, str]()) for number in range(1_200)]
    sent = send(settings, [*nobody, *of_people(0, 40)])
    group = Group(settings)
    one = start(settings, "one")
    until(lambda: group.done() >= sent)
    settle(settings)  # the offsets may be committed before all that went with them can be read
    ignored: list[object] = []
    again = redrive(
        settings,
        ChangesAllowed(),
        Selection(),
        even_if_failing=True,
        interrupted=threading.Event(),
        on_plan=ignored.append,
        on_sent=ignored.append,
    )
    assert again.sent == {"missing_identity": 1_200}
    settle(settings, settings.topics.raw)
    ends = sum(span.end for span in range_consumer.readable_ranges(settings, settings.topics.raw))
    assert ends > sent + 1_200  # by the markers
    until(lambda: group.done() >= ends or one.pid is None)
    assert one.pid is not None, one.output()
    assert group.done() == ends
    group.close()
    assert increase_partitions(settings, ChangesAllowed(), PARTITIONS, force=False) == {}
    one.stop(PATIENCE_S)
    assert one.exit_code == 0, one.output()
    attempts = Counter(found.get("attempt") for _, found in letters(settings) if "error_code" in found)
    assert attempts == {None: 1_200, b"1": 1_200}


def exposed(service: Service) -> str:
    """Its metrics."""
    with urllib.request.urlopen(f"http://127.0.0.1:{service.admin_port}/metrics", timeout=PATIENCE_S) as answer:
        text: str = answer.read().decode().replace(".0\n", "\n")
        return text


def test_a_group_whose_offsets_are_gone_is_not_started_from_the_beginning(
    kafka: Kafka, make_topics: TopicMaker, make_settings: SettingsMaker, start: Start
) -> None:
    settings = settings_for(make_topics, make_settings, short_sessions=True)
    group = Group(settings)
    sent = send(settings, of_people(0, 100))
    first = start(settings, "one")
    until(lambda: group.done() >= sent)
    first.stop(PATIENCE_S)
    admin = make_admin(settings)
    group_id = settings.processor.group_id
    until(lambda: not admin.delete_consumer_groups([group_id])[group_id].exception())  # its session is over
    second = start(settings, "one")
    until(lambda: second.pid is None)
    assert second.exit_code == 70, second.output()
    assert "--to-offset" in second.output()
    assert "Traceback" not in second.output()
    assert len(events(kafka, settings)) == 100
    group.close()
