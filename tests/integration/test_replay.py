"""Replay on a real broker and registry: every event of the range once, whatever happens in between."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import orjson
import pytest
from click.testing import CliRunner
from confluent_kafka import Message, TopicPartition
from confluent_kafka.admin import AdminClient

from processor.deduplication.state_store import DISORDER_MS
from processor.pipeline.pipeline import build_pipeline
from processor.pipeline.records import Event, RawRecord, identify
from runtime.errors import CheckFailedError, ConfigurationError, DependencyError, SternpostError
from runtime.kafka import range_consumer
from runtime.kafka.range_consumer import OffsetRange
from runtime.schema_registry import Registry, subject_of
from runtime.settings.model import Settings
from schemas import record_headers
from schemas.track_event import EventReader, load_schema
from sternpost.cli.main import cli
from sternpost.local import samples
from sternpost.operations.changes_allowed import ChangesAllowed
from sternpost.operations.replay.checkpoint import ReplayCheckpoint
from sternpost.operations.replay.dry_run import ExistingEvents
from sternpost.operations.requested_range import RequestedRange, check_retained
from tests.support.disks import small_disk
from tests.support.kafka import SettingsMaker, TopicMaker, idempotent_producer
from tests.support.waiting import PATIENCE_S, until

BROKEN = b'{"event_id":'
GOOD = b'{"event_id":"e","data":{"customer_id":"u"}}'
PROGRAM = (sys.executable, "-c", "from sternpost.cli.main import main; main()")


@pytest.fixture
def settings(make_topics: TopicMaker, make_settings: SettingsMaker) -> Settings:
    settings = make_settings(make_topics(partitions=2))
    registry = Registry(settings.schema_registry)
    registry.register(subject_of(settings.topics.events), load_schema())
    registry.close()
    return settings


def receive(settings: Settings, bodies: list[bytes], *, source: str = "test", at_ms: int | None = None) -> None:
    """Writes raw records as ingest does, the same person's to the same partition."""
    producer = idempotent_producer(settings.kafka.bootstrap_servers, {"partitioner": "murmur2_random"})
    at_ms = at_ms or int(time.time() * 1000)
    for body in bodies:
        payload = {} if body == BROKEN else orjson.loads(body)
        producer.produce(
            settings.topics.raw,
            key=payload.get("data", {}).get("customer_id", "u"),
            value=body,
            headers={record_headers.SOURCE: source, record_headers.RECEIVED_AT: str(at_ms)},
            timestamp=at_ms,
        )
    assert producer.flush(PATIENCE_S) == 0


def bodies(count: int, first: int = 0) -> list[bytes]:
    return [orjson.dumps(samples.payload(index, people=11)) for index in range(first, first + count)]


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
    return list(range_consumer.read(settings, topic))


def has_grown(settings: Settings, topic: str, before: int) -> bool:
    return len(events(settings, topic)) > before


decoded = EventReader.of_newest()


def origin(message: Message) -> dict[str, Any]:
    found: dict[str, Any] = decoded(message.value() or b"")["context"]["origin"]
    return found


def origins(messages: list[Message]) -> Counter[tuple[int, int]]:
    return Counter((found["partition"], found["offset"]) for found in map(origin, messages))


def event_of(record: RawRecord) -> bytes:
    outcome = build_pipeline("rudderstack").outcome(record, identify(record))
    assert isinstance(outcome, Event)
    return outcome.value


def test_a_range_is_written_once_and_not_again_unless_asked(settings: Settings, make_topics: TopicMaker) -> None:
    receive(settings, [*bodies(40), *bodies(5), BROKEN], at_ms=int(time.time() * 1000) - 60_000)
    begun_ms = int(time.time() * 1000)
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
        "duplicates": 5,
        "filtered": 0,
        "dead_letters": {"malformed_json": 1},
    }
    written = events(settings, target)
    assert len(written) == 40
    assert max(origins(written).values()) == 1
    assert {origin(one)["topic"] for one in written} == {settings.topics.raw}
    assert [one.headers() for one in written] == [None] * 40
    assert min(one.timestamp()[1] for one in written) >= begun_ms, "dated when it was written"

    assert "has finished" in replay(settings, *arguments, error=CheckFailedError)["error"]
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
    end = range_consumer.readable_ranges(settings, settings.topics.raw)[1].end
    assert count("--partition", "1") == end


def test_interrupted_and_killed_it_goes_on_and_every_event_is_there_once(
    settings: Settings, make_topics: TopicMaker
) -> None:
    receive(settings, bodies(400))
    target = make_topics.one(partitions=2)
    arguments = ("--from", "beginning", "--to-topic", target, "--rate", "1")  # 400 s: time to look
    for number in (signal.SIGINT, signal.SIGKILL):
        with subprocess.Popen([*PROGRAM, *command(settings, *arguments)], stderr=subprocess.DEVNULL) as process:
            until(partial(has_grown, settings, target, len(events(settings, target))))
            assert process.poll() is None
            process.send_signal(number)
            process.wait(PATIENCE_S)
        assert process.returncode == {signal.SIGINT: 130, signal.SIGKILL: -9}[number]
    part = len(events(settings, target))
    assert 0 < part < 400
    result = replay(settings, *arguments[:-2])
    assert (result["resumed"], result["finished"]) == (True, True)
    found = origins(events(settings, target))
    assert len(found) == 400
    assert set(found.values()) == {1}


def test_without_room_for_its_state_it_says_what_to_do_and_resumes(settings: Settings, tmp_path: Path) -> None:
    receive(settings, bodies(20))
    arguments = ("--from", "beginning", "--live")
    with small_disk(tmp_path / "disk", "16k") as disk:
        ended = subprocess.run(
            [*PROGRAM, *command(settings, *arguments)],
            env={**os.environ, "TMPDIR": str(disk)},
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
    assert ended.returncode == 69, ended.stderr
    assert f"the temporary folder {disk}" in ended.stderr
    assert "set TMPDIR to another folder; the same command resumes" in ended.stderr
    assert replay(settings, *arguments)["finished"] is True
    assert set(origins(events(settings, settings.topics.events)).values()) == {1}


def test_per_person_order_and_partition_are_those_of_live_events(settings: Settings) -> None:
    receive(settings, bodies(100))
    assert replay(settings, "--from", "beginning", "--live")["target"] == settings.topics.events
    at: dict[bytes | None, tuple[int | None, int]] = {}
    for message in events(settings, settings.topics.events):
        offset = origin(message)["offset"]
        partition, last = at.get(message.key(), (message.partition(), -1))
        assert partition == message.partition()
        assert offset > last
        at[message.key()] = partition, offset


def test_the_dry_run_says_what_would_differ_and_writes_nothing(settings: Settings) -> None:
    receive(settings, [*bodies(len(samples.PAIRS)), *bodies(3), BROKEN])
    everything = ("--from", "beginning", "--dry-run")
    nothing_there = replay(settings, *everything)
    assert set(nothing_there) == {
        *("range", "records", "duplicates", "unchanged", "added", "removed", "changed"),
        *("dead_letters", "fields", "examples", "unreadable"),
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
    wrong = idempotent_producer(settings.kafka.bootstrap_servers)
    replay(settings, "--from", "beginning", "--live")
    receive(settings, [BROKEN])
    spans = range_consumer.readable_ranges(settings, settings.topics.raw)
    [broken] = [m for m in range_consumer.read(settings, settings.topics.raw) if m.value() == BROKEN]
    value = event_of(RawRecord(settings.topics.raw, broken.partition() or 0, broken.offset() or 0, 0, None, GOOD, []))
    frame = (events(settings, settings.topics.events)[0].value() or b"")[:5]
    wrong.produce(settings.topics.events, value=frame + value[5:])
    for foreign in (None, b"", b"hello", frame + b"x", frame + value[5:] + b"x", b"\0\x7f\xff\xff\xff" + value[5:]):
        wrong.produce(settings.topics.events, value=foreign)
    assert wrong.flush(PATIENCE_S) == 0
    result = replay(settings, "--from", "beginning", "--dry-run")
    assert sum(span.end for span in spans) == 3
    assert (result["unchanged"], result["removed"], result["unreadable"]) == (2, 1, 6)
    at = f"{broken.partition()}:{broken.offset()}"
    assert result["examples"]["removed"] == [{"raw": at, "because": "malformed_json"}]


def test_what_retention_has_removed_is_refused_and_not_passed_over(settings: Settings) -> None:
    now = int(time.time() * 1000)
    receive(settings, bodies(40), at_ms=now)
    kept = range_consumer.readable_ranges(settings, settings.topics.raw)
    admin = AdminClient({"bootstrap.servers": settings.kafka.bootstrap_servers})
    for gone in admin.delete_records([TopicPartition(settings.topics.raw, 0, 3)]).values():
        gone.result(PATIENCE_S)

    for start in ("offset:0", "0:2", "1h"):
        with pytest.raises(DependencyError, match="retention has removed part of the range"):
            RequestedRange.parse(start, "end").resolve(settings)
    with pytest.raises(DependencyError, match="before it was replayed"):  # of one under way
        check_retained(settings, kept)
    rest = [OffsetRange(0, 3, kept[0].end), OffsetRange(1, 0, kept[1].end)]
    check_retained(settings, rest)
    assert RequestedRange.parse("beginning", "end").resolve(settings) == rest
    assert RequestedRange.parse("offset:0", "end", skip_expired=True).resolve(settings) == rest
    assert RequestedRange.parse("0:3", "0:5").resolve(settings) == [OffsetRange(0, 3, 5)]
    assert RequestedRange.parse("1h", "now", [1]).resolve(settings) == [rest[1]]
    with pytest.raises(DependencyError, match="is empty"):
        RequestedRange.parse("end", "end").resolve(settings)


def test_a_new_run_leaves_nothing_of_an_interrupted_one_to_go_on_with(settings: Settings) -> None:
    receive(settings, bodies(10))
    name = f"{settings.processor.group_id}.replay.again"
    for spans in ([OffsetRange(0, 0, 3), OffsetRange(1, 0, 3)], [OffsetRange(0, 1, 4)]):
        checkpoint = ReplayCheckpoint(settings, name)
        checkpoint.find([0, 1])
        checkpoint.begin(ChangesAllowed(), spans)
        checkpoint.close()
    checkpoint = ReplayCheckpoint(settings, name)
    assert checkpoint.find([0, 1]) == [OffsetRange(0, 1, 4), OffsetRange(1, 3, 3)]
    checkpoint.close()


def test_of_several_events_of_a_raw_record_the_one_written_last_counts(settings: Settings) -> None:
    """As a sink has it that keeps an event per messageId: `replay --again`, by another mapping."""
    receive(settings, [orjson.dumps(samples.payload(index, people=1)) for index in range(30)])
    corrected = ("--set=processor.profile=corrected",)
    changed = []
    for options in (), corrected, ():
        again = CliRunner().invoke(cli, [*options, *command(settings, "--from", "beginning", "--live", "--again")])
        assert again.exit_code == 0, again.output
        changed.append(replay(settings, "--from", "beginning", "--dry-run")["changed"])
    assert (changed[0], changed[2]) == (0, 0)
    assert changed[1] > 0
    assert len(events(settings, settings.topics.events)) == 90


def test_the_last_counts_in_whichever_partition_it_is(settings: Settings) -> None:
    """A mapping that says otherwise whom an event is about moves the event to another partition."""
    receive(settings, bodies(1))
    replay(settings, "--from", "beginning", "--live")
    [event] = events(settings, settings.topics.events)
    there, at_ms = event.partition() or 0, event.timestamp()[1]
    wrong = (event.value() or b"").replace(b"user-", b"usr--")
    assert wrong != event.value()
    producer = idempotent_producer(settings.kafka.bootstrap_servers)

    def write(value: bytes | None, partition: int, ms: int) -> dict[str, Any]:
        producer.produce(settings.topics.events, value, partition=partition, timestamp=at_ms + ms)
        assert producer.flush(PATIENCE_S) == 0
        return replay(settings, "--from", "beginning", "--dry-run")

    assert write(wrong, 1 - there, -5)["changed"] == 0
    assert write(wrong, 1 - there, 5)["changed"] == 1
    assert write(event.value(), 1 - there, -9)["changed"] == 1, "written earlier, by the clock of another machine"
    assert write(event.value(), 1 - there, 7)["changed"] == 0


def test_a_dry_run_reads_only_what_the_range_can_have_been_written_to(settings: Settings) -> None:
    now_ms = int(time.time() * 1000)
    receive(settings, bodies(5), at_ms=now_ms - 7_200_000)
    producer = idempotent_producer(settings.kafka.bootstrap_servers)

    def write(body: bytes, ms: int) -> None:
        producer.produce(settings.topics.events, body, partition=0, timestamp=ms)
        assert producer.flush(PATIENCE_S) == 0

    hour_ms = DISORDER_MS
    write(b"before", now_ms - 7_200_000 - hour_ms - 1)
    write(b"clocks may differ by that", now_ms - 7_200_000 - hour_ms)
    write(b"since", now_ms)

    def read(start: str) -> list[OffsetRange]:
        present = ExistingEvents(settings, settings.topics.events, RequestedRange.parse(start, "end").resolve(settings))
        try:
            return [span for span in present.output_ranges() if span.offsets]
        finally:
            present.close()

    assert read("beginning") == [OffsetRange(0, 1, 3)]
    receive(settings, bodies(2, first=5), at_ms=now_ms)
    assert read("1h") == [OffsetRange(0, 2, 3)]


@pytest.mark.parametrize("live", [True, False])
def test_events_of_years_ago_are_written_to_be_kept(settings: Settings, make_topics: TopicMaker, live: bool) -> None:
    """Brokers count from when an event's record was written, and refuse nothing of it for its age."""
    old = [orjson.dumps(samples.payload(index, "old", since=1_577_836_800)) for index in range(20)]
    receive(settings, old)
    begun_ms = int(time.time() * 1000)
    target = ["--live"] if live else ["--to-topic", make_topics.one()]
    result = replay(settings, "--from", "beginning", *target)
    assert result["events"] == 20
    written = events(settings, result["target"])
    assert len(written) == 20
    assert {decoded(one.value() or b"")["timestamp"].year for one in written} == {2020}
    assert min(one.timestamp()[1] for one in written) >= begun_ms


def test_the_pipelines_own_topics_are_no_targets(settings: Settings) -> None:
    answer = replay(settings, "--from", "beginning", "--to-topic", settings.topics.raw, error=ConfigurationError)
    assert "--live" in answer["error"]


def test_a_missing_target_is_made_like_the_output_topic(settings: Settings) -> None:
    receive(settings, bodies(3))
    target = f"{settings.topics.raw}-copy"
    admin = AdminClient({"bootstrap.servers": settings.kafka.bootstrap_servers})
    try:
        assert replay(settings, "--from", "beginning", "--to-topic", target)["events"] == 3
        assert len(range_consumer.topic_partitions(settings, target)) == 2
    finally:
        for gone in admin.delete_topics([target]).values():
            gone.exception(PATIENCE_S)
