"""`sternpost find`: what became of a webhook, by its event id."""

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from click.testing import CliRunner

from runtime.settings.model import Settings
from sternpost.cli.main import cli
from sternpost.local import services
from sternpost.local.services import environment_for
from sternpost.operations.trace import Fate, Trace, trace
from tests.support.kafka import Kafka, SettingsMaker, TopicMaker, idempotent_producer
from tests.support.waiting import PATIENCE_S, until


def payload(event_id: str | None, **data: Any) -> bytes:
    body = {
        "object_type": "email",
        "metric": "opened",
        "timestamp": 1_795_000_000,
        "data": {"customer_id": "a", **data},
    }
    return orjson.dumps({**body, **({"event_id": event_id} if event_id else {})})


@pytest.fixture(scope="module")
def settings(kafka: Kafka, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    maker = TopicMaker(kafka)
    made = SettingsMaker(kafka, tmp_path_factory.mktemp("find"))(maker(partitions=3))
    with services.running(made, own_cluster=True) as running:
        write(running.settings, [(1, payload("other", n=n)) for n in range(20)])
        yield running.settings
    maker.remove()


def write(settings: Settings, records: list[tuple[int, bytes]], **headers: str) -> None:
    """Write to partitions of the raw topic, as another program would unless there are headers."""
    producer = idempotent_producer(settings.kafka.bootstrap_servers)
    for partition, body in records:
        producer.produce(
            settings.topics.raw,
            body,
            key=b"a",
            partition=partition,
            headers=[(n, v.encode()) for n, v in headers.items()],
        )
    assert producer.flush(PATIENCE_S) == 0


def find(settings: Settings, event_id: str, source: str | None = None, **options: Any) -> Trace:
    return trace(settings, event_id, source, stop=threading.Event(), **options)


def fates(settings: Settings, event_id: str, source: str | None = None) -> list[Fate]:
    """What became of the records once the processor has come to them."""
    found = until(
        lambda: (
            (found := find(settings, event_id, source)).records
            and all(record.fate not in (Fate.WAITING, Fate.UNKNOWN) for record in found.records)
            and found
        )
    )
    return [record.fate for record in found.records]


def test_event_duplicate_and_dead_letter(settings: Settings) -> None:
    write(settings, [(0, payload("twice")), (0, payload("twice"))], event_id="twice", source="test")
    write(settings, [(2, payload("bad", delivery_id={}))], event_id="bad", source="test")
    assert fates(settings, "twice") == [Fate.EVENT, Fate.DUPLICATE]
    assert fates(settings, "bad", "test") == [Fate.DEAD_LETTER]
    first, second = find(settings, "twice", contents=1).records
    assert second.duplicate_of == first.place[1]
    assert first.event is not None
    assert first.event.event["messageId"] == "twice"
    [letter] = find(settings, "bad").records
    assert letter.letter is not None
    assert letter.letter.code == "invalid_field"
    assert find(settings, "bad", "another source").records == []


def test_without_our_headers_and_by_the_bodys_hash(settings: Settings) -> None:
    import hashlib

    nameless = payload(None, n="nameless")
    write(settings, [(1, payload("plain")), (1, nameless)])
    assert fates(settings, "plain") == [Fate.EVENT]
    assert fates(settings, hashlib.sha256(nameless).hexdigest()) == [Fate.EVENT]


def test_by_the_time_in_the_id_and_from_its_place(settings: Settings) -> None:
    digits, left = "", int(time.time() * 1000)
    for _ in range(10):
        left, digit = divmod(left, 32)
        digits = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"[digit] + digits
    ulid = digits + "0" * 15 + "Z"
    write(settings, [(2, payload(ulid))], event_id=ulid, source="test")
    assert fates(settings, ulid) == [Fate.EVENT]
    [record] = find(settings, ulid).records
    assert find(settings, ulid, at=record.place).records[0].fate is Fate.EVENT
    wrong = (record.place[0], 0)
    assert find(settings, ulid, at=wrong).records[0].place == record.place, "a wrong place is no more than a hint"


def test_two_sources_with_one_id(settings: Settings) -> None:
    write(settings, [(0, payload("shared"))], event_id="shared", source="one")
    write(settings, [(0, payload("shared"))], event_id="shared", source="two")
    assert fates(settings, "shared") == [Fate.EVENT, Fate.EVENT]
    assert fates(settings, "shared", "two") == [Fate.EVENT]


def test_all_places_and_few_contents_of_many_copies_are_kept(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    write(settings, [(0, payload("many"))] * 1_200, event_id="many", source="test")
    became = [Fate.EVENT, *[Fate.DUPLICATE] * 1_199]
    assert fates(settings, "many") == became
    kept = find(settings, "many", contents=2).records
    assert [record.fate for record in kept] == became
    assert [record.content.value for record in kept if record.content is not None] == [payload("many")] * 2
    with monkeypatch.context() as few:
        few.setattr("sternpost.operations.trace.CONTENT_BYTES", 1)
        assert sum(record.content is not None for record in find(settings, "many", contents=2).records) == 1
    first, none = kept[0].event, find(settings, "many").records[0].event
    assert first is not None
    assert none is not None
    assert (first.event["messageId"], none.event) == ("many", {"event": "Email Opened"})

    monkeypatch.chdir(tmp_path)
    for name, value in environment_for(settings).items():
        monkeypatch.setenv(name, value)
    printed = json.loads(CliRunner().invoke(cli, ["find", "many", "--json"], catch_exceptions=False).stdout)
    assert [record["became"] for record in printed["records"]] == became
    shown = CliRunner().invoke(cli, ["find", "many"], catch_exceptions=False).stdout
    assert "and 200 more records, which --json prints as well" in shown


def test_stopped_at_once(settings: Settings) -> None:
    stop = threading.Event()
    stop.set()
    assert trace(settings, "twice", stop=stop) == Trace("twice", [], complete=False)


def test_the_command(settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name, value in environment_for(settings).items():
        monkeypatch.setenv(name, value)
    write(settings, [(1, payload("by-command"))], event_id="by-command", source="test")
    assert fates(settings, "by-command") == [Fate.EVENT]
    printed = CliRunner().invoke(cli, ["find", "by-command", "--json"], catch_exceptions=False)
    [record] = json.loads(printed.stdout)["records"]
    assert (record["became"], record["source"], record["event"]["name"]) == ("event", "test", "Email Opened")
    shown = CliRunner().invoke(cli, ["find", "by-command"], catch_exceptions=False)
    assert "event" in shown.stdout
    missing = CliRunner().invoke(cli, ["find", "nobody"])
    assert missing.exit_code == 1
    assert "no record with this event id" in str(missing.exception)
    assert CliRunner().invoke(cli, ["find", "x", "--at", "3"]).exit_code == 2
