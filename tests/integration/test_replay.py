"""Replay on a real broker and registry: every event of the range once, whatever happens in between."""

import json
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import orjson
import pytest
import structlog
from click.testing import CliRunner
from confluent_kafka import Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

from runtime.errors import CheckFailed, ConfigurationError, DependencyError, SternpostError
from runtime.schema_registry import Registry, subject_of
from runtime.settings import Settings
from schemas import headers
from schemas.track_event import load_schema
from sternpost import reader, samples
from sternpost.cli import cli
from sternpost.positions import parse
from sternpost.reader import Span
from sternpost.replay.progress import Progress
from sternpost.replay.span import check_kept, resolve
from sternpost.topics import retention_ms
from tests.kafka import SettingsMaker, TopicMaker

BROKEN = b'{"event_id":'
PROGRAM = (sys.executable, "-c", "from sternpost.cli import main; main()")


@pytest.fixture
def settings(make_topics: TopicMaker, make_settings: SettingsMaker) -> Settings:
    settings = make_settings(make_topics(partitions=2))
    registry = Registry(settings.schema_registry)
    registry.register(subject_of(settings.topics.events), load_schema())
    registry.close()
    return settings


def receive(settings: Settings, bodies: list[bytes], *, source: str = "test", at_ms: int | None = None) -> None:
    """Writes raw records as ingest does, the same person's to the same partition."""
    producer = Producer({"bootstrap.servers": settings.kafka.bootstrap_servers, "partitioner": "murmur2_random"})
    at_ms = at_ms or int(time.time() * 1000)
    for body in bodies:
        payload = {} if body == BROKEN else orjson.loads(body)
        producer.produce(
            settings.topics.raw,
            key=payload.get("data", {}).get("customer_id", "u"),
            value=body,
            headers={headers.SOURCE: source, headers.RECEIVED_AT: str(at_ms)},
            timestamp=at_ms,
        )
    assert producer.flush(30) == 0


NOW_S = int(time.time()) - 60
"""Brokers remove events by when they occurred."""


def bodies(count: int, first: int = 0) -> list[bytes]:
    return [orjson.dumps(samples.payload(index, people=11, since=NOW_S)) for index in range(first, first + count)]


@pytest.fixture(autouse=True)
def _logs_as_they_were() -> Iterator[None]:
    before = structlog.get_config()
    yield
    structlog.configure(**before)


def command(settings: Settings, *arguments: str) -> list[str]:
    return [
        f"--set=kafka.bootstrap_servers={settings.kafka.bootstrap_servers}",
        f"--set=schema_registry.url={settings.schema_registry.url}",
        f"--set=processor.group_id={settings.processor.group_id}",
        *(f"--set=topics.{name}={value}" for name, value in settings.topics.model_dump().items()),
        *("replay", *arguments),
    ]


def replay(settings: Settings, *arguments: str, error: type[SternpostError] | None = None) -> dict[str, Any]:
    done = CliRunner().invoke(cli, command(settings, *arguments, "--json"))
    if error is not None:
        assert isinstance(done.exception, error), done.output
        return {"error": str(done.exception)}
    assert done.exit_code == 0, repr(done.exception)
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def events(settings: Settings, topic: str) -> list[Message]:
    return list(reader.read(settings, topic))


def origins(messages: list[Message]) -> Counter[tuple[bytes | None, ...]]:
    found = [dict(reader.headers_of(message)) for message in messages]
    return Counter((one[headers.RAW_PARTITION], one[headers.RAW_OFFSET]) for one in found)


def test_a_range_is_written_once_and_not_again_unless_asked(settings: Settings, make_topics: TopicMaker) -> None:
    receive(settings, [*bodies(40), *bodies(5), BROKEN])
    target = make_topics.one()
    arguments = ("--from", "beginning", "--to-topic", target)
    result = replay(settings, *arguments)
    spans = result.pop("range")
    assert sum(span["end"] - span["start"] for span in spans) == 46
    assert result == {
        "resumed": False,
        "finished": True,
        "target": target,
        "records": 46,
        "events": 40,
        "expiring": 0,
        "duplicates": 5,
        "filtered": 0,
        "dead_letters": {"malformed_json": 1},
    }
    written = events(settings, target)
    assert len(written) == 40
    assert max(origins(written).values()) == 1
    assert {name for name, _ in reader.headers_of(written[0])} == {
        "raw_topic",
        "raw_partition",
        "raw_offset",
        "event_id",
    }

    assert "has finished" in replay(settings, *arguments, error=CheckFailed)["error"]
    assert len(events(settings, target)) == 40
    assert replay(settings, *arguments, "--again")["events"] == 40
    assert len(events(settings, target)) == 80
    assert events(settings, settings.topics.dead_letters) == []


def test_a_duplicate_of_a_record_before_the_range_is_one(settings: Settings, make_topics: TopicMaker) -> None:
    now = int(time.time() * 1000)
    receive(settings, bodies(10), at_ms=now - 7_200_000)
    receive(settings, bodies(12), at_ms=now)
    recent = replay(settings, "--from", "1h", "--to-topic", make_topics.one())
    assert (recent["events"], recent["duplicates"]) == (2, 10)
    assert replay(settings, "--from", "beginning", "--to-topic", make_topics.one())["events"] == 12


def test_filters(settings: Settings, make_topics: TopicMaker) -> None:
    receive(settings, bodies(60))
    receive(settings, bodies(30, first=60), source="other")
    payloads = [(n, samples.payload(n, people=11)) for n in range(90)]

    def count(*arguments: str) -> int:
        return int(replay(settings, "--from", "beginning", "--to-topic", make_topics.one(), *arguments)["events"])

    assert count("--source", "other", "--object-type", "SMS") == sum(
        n >= 60 and payload["object_type"] == "sms" for n, payload in payloads
    )
    assert count("--person", "user-000003") == sum(p["data"]["customer_id"] == "user-000003" for _, p in payloads)
    end = reader.committed(settings, settings.topics.raw)[1].end
    assert count("--partition", "1") == end


def test_interrupted_and_killed_it_goes_on_and_every_event_is_there_once(
    settings: Settings, make_topics: TopicMaker
) -> None:
    receive(settings, bodies(400))
    target = make_topics.one(partitions=2)
    arguments = ("--from", "beginning", "--to-topic", target, "--rate", "60")
    for number in (signal.SIGINT, signal.SIGKILL):
        with subprocess.Popen([*PROGRAM, *command(settings, *arguments)], stderr=subprocess.DEVNULL) as process:
            before = len(events(settings, target))
            while len(events(settings, target)) <= before:
                assert process.poll() is None
            process.send_signal(number)
            process.wait(60)
        assert process.returncode == {signal.SIGINT: 130, signal.SIGKILL: -9}[number]
    part = len(events(settings, target))
    assert 0 < part < 400
    result = replay(settings, *arguments[:-2])
    assert (result["resumed"], result["finished"]) == (True, True)
    found = origins(events(settings, target))
    assert len(found) == 400
    assert set(found.values()) == {1}


def test_per_person_order_and_partition_are_those_of_live_events(settings: Settings) -> None:
    receive(settings, bodies(100))
    assert replay(settings, "--from", "beginning", "--live")["target"] == settings.topics.events
    at: dict[bytes | None, tuple[int | None, int]] = {}
    for message in events(settings, settings.topics.events):
        offset = int(dict(reader.headers_of(message))[headers.RAW_OFFSET] or b"-1")
        partition, last = at.get(message.key(), (message.partition(), -1))
        assert partition == message.partition()
        assert offset > last
        at[message.key()] = partition, offset


def test_the_dry_run_says_what_would_differ_and_writes_nothing(settings: Settings) -> None:
    receive(settings, [*bodies(len(samples.PAIRS)), *bodies(3), BROKEN])
    everything = ("--from", "beginning", "--dry-run")
    nothing_there = replay(settings, *everything)
    assert set(nothing_there) == {
        *("range", "records", "duplicates", "unchanged", "added", "expired", "removed", "changed"),
        *("dead_letters", "fields", "examples"),
    }
    assert (nothing_there["added"], nothing_there["duplicates"]) == (len(samples.PAIRS), 3)
    assert nothing_there["dead_letters"] == {"malformed_json": 1}
    assert set(nothing_there["examples"]) == {"added", "removed", "dead_letters"}
    [letter] = nothing_there["examples"]["dead_letters"]
    assert letter["because"].startswith("malformed_json: the body is not JSON")
    assert events(settings, settings.topics.events) == []

    replay(settings, "--from", "beginning", "--live")
    same = replay(settings, *everything)
    assert (same["unchanged"], same["changed"], same["added"], same["removed"]) == (len(samples.PAIRS), 0, 0, 0)

    corrected = ["--set=processor.profile=corrected", *command(settings, *everything, "--json")]
    done = CliRunner().invoke(cli, corrected)
    other = json.loads(done.stdout)
    assert other["changed"] > 0
    phones = other["fields"]["context.traits.phone"]
    assert set(phones) == {"added", "changed", "removed", "examples"}
    assert (phones["added"], phones["changed"], phones["removed"]) == (
        sum(kind in ("sms", "whatsapp") for kind, _ in samples.PAIRS),
        0,
        0,
    )
    assert phones["examples"][0]["before"] is None
    assert phones["examples"][0]["after"].startswith("text of")
    assert "+1555" not in done.stdout


def test_events_that_todays_mapping_would_not_make_are_removed(settings: Settings) -> None:
    receive(settings, bodies(2))
    wrong = Producer({"bootstrap.servers": settings.kafka.bootstrap_servers})
    replay(settings, "--from", "beginning", "--live")
    receive(settings, [BROKEN])
    spans = reader.committed(settings, settings.topics.raw)
    [broken] = [m for m in reader.read(settings, settings.topics.raw) if m.value() == BROKEN]
    wrong.produce(
        settings.topics.events,
        value=b"\0\0\0\0\1x",
        headers={
            headers.RAW_TOPIC: settings.topics.raw,
            headers.RAW_PARTITION: str(broken.partition()),
            headers.RAW_OFFSET: str(broken.offset()),
        },
    )
    assert wrong.flush(30) == 0
    result = replay(settings, "--from", "beginning", "--dry-run")
    assert sum(span.end for span in spans) == 3
    assert (result["unchanged"], result["removed"]) == (2, 1)
    at = f"{broken.partition()}:{broken.offset()}"
    assert result["examples"]["removed"] == [{"raw": at, "because": "malformed_json"}]


def test_what_retention_has_removed_is_refused_and_not_passed_over(settings: Settings) -> None:
    now = int(time.time() * 1000)
    receive(settings, bodies(40), at_ms=now)
    kept = reader.committed(settings, settings.topics.raw)
    admin = AdminClient({"bootstrap.servers": settings.kafka.bootstrap_servers})
    for gone in admin.delete_records([TopicPartition(settings.topics.raw, 0, 3)]).values():
        gone.result(30)

    for start in ("offset:0", "0:2", "1h"):
        with pytest.raises(DependencyError, match="retention has removed part of the range"):
            resolve(settings, parse(start), parse("end"))
    with pytest.raises(DependencyError, match="before it was replayed"):  # of one under way
        check_kept(settings, kept)
    rest = [Span(0, 3, kept[0].end), Span(1, 0, kept[1].end)]
    check_kept(settings, rest)
    assert resolve(settings, parse("beginning"), parse("end")) == rest
    assert resolve(settings, parse("offset:0"), parse("end"), skip_expired=True) == rest
    assert resolve(settings, parse("0:3"), parse("0:5")) == [Span(0, 3, 5)]
    assert resolve(settings, parse("1h"), parse("now"), [1]) == [rest[1]]
    with pytest.raises(DependencyError, match="nothing in that range"):
        resolve(settings, parse("end"), parse("end"))


def test_a_new_run_leaves_nothing_of_an_interrupted_one_to_go_on_with(settings: Settings) -> None:
    receive(settings, bodies(10))
    name = f"{settings.processor.group_id}.replay.again"
    for spans in ([Span(0, 0, 3), Span(1, 0, 3)], [Span(0, 1, 4)]):
        progress = Progress(settings, name)
        progress.find([0, 1])
        progress.begin(spans)
        progress.close()
    progress = Progress(settings, name)
    assert progress.find([0, 1]) == [Span(0, 1, 4), Span(1, 3, 3)]
    progress.close()


def test_a_target_that_would_not_keep_the_events_is_refused(settings: Settings, make_topics: TopicMaker) -> None:
    """Raw keeps records for longer than the target, which counts from when an event occurred."""
    admin = AdminClient({"bootstrap.servers": settings.kafka.bootstrap_servers})
    raw = ConfigResource(
        ResourceType.TOPIC,
        settings.topics.raw,
        incremental_configs=[ConfigEntry("retention.ms", "-1", incremental_operation=AlterConfigOpType.SET)],
    )
    for altered in admin.incremental_alter_configs([raw]).values():
        altered.result(30)
    ten_days_ago = NOW_S - 10 * 86_400
    old = orjson.dumps(samples.payload(0, "old", since=ten_days_ago))
    receive(settings, [old], at_ms=ten_days_ago * 1000)
    receive(settings, bodies(5))
    assert replay(settings, "--from", "beginning", "--dry-run")["expired"] == 1

    target = make_topics.one()  # keeps what brokers keep by default: seven days
    arguments = ("--from", "beginning", "--to-topic", target)
    refused = replay(settings, *arguments, error=DependencyError)["error"]
    assert f"--entity-name {target} --add-config retention.ms=" in refused
    assert events(settings, target) == []
    forced = replay(settings, *arguments, "--may-expire")
    assert (forced["resumed"], forced["events"], forced["expiring"]) == (False, 6, 1)

    made = f"{target}-made"
    try:
        assert replay(settings, "--from", "beginning", "--to-topic", made)["expiring"] == 0
        kept_ms = retention_ms(settings, made) or 0
        assert kept_ms >= settings.topics.events_retention_ms + 10 * 86_400_000
    finally:
        for gone in admin.delete_topics([made]).values():
            gone.exception(30)


def test_the_pipelines_own_topics_are_no_targets(settings: Settings) -> None:
    answer = replay(settings, "--from", "beginning", "--to-topic", settings.topics.raw, error=ConfigurationError)
    assert "--live" in answer["error"]


def test_a_missing_target_is_made_like_the_output_topic(settings: Settings) -> None:
    receive(settings, bodies(3))
    target = f"{settings.topics.raw}-copy"
    admin = AdminClient({"bootstrap.servers": settings.kafka.bootstrap_servers})
    try:
        assert replay(settings, "--from", "beginning", "--to-topic", target)["events"] == 3
        assert len(reader.topic_partitions(settings, target)) == 2
    finally:
        for gone in admin.delete_topics([target]).values():
            gone.exception(30)
