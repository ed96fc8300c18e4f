"""Dead letters on a real broker: looked at, sent back once, taken away."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from confluent_kafka import Message, Producer

from runtime.errors import DependencyError
from runtime.kafka import command_transactions, range_consumer
from runtime.kafka.command_transactions import CommandTransactions
from runtime.settings.model import Settings, TopicSettings
from schemas.track_event import iso
from sternpost.cli.main import cli
from sternpost.operations.changes_allowed import ChangesAllowed
from sternpost.operations.dead_letters.listing import list_dead_letters
from sternpost.operations.dead_letters.redrive import RedrivePlan, plan, redrive
from sternpost.operations.dead_letters.selection import Selection, find
from tests.support.buried import BROKEN, GOOD, RECEIVED_AT, bury
from tests.support.kafka import Kafka, SettingsMaker, TopicMaker
from tests.support.settled import settle
from tests.support.waiting import PATIENCE_S


@pytest.fixture
def topics(make_topics: TopicMaker) -> TopicSettings:
    return make_topics(partitions=3)


@pytest.fixture
def settings(topics: TopicSettings, make_settings: SettingsMaker) -> Settings:
    return make_settings(topics)


def options(settings: Settings) -> list[str]:
    return [
        f"--set=kafka.bootstrap_servers={settings.kafka.bootstrap_servers}",
        f"--set=processor.group_id={settings.processor.group_id}",
        *(f"--set=topics.{name}={value}" for name, value in settings.topics.model_dump().items()),
    ]


def run(settings: Settings, *arguments: str, code: int = 0) -> Result:
    result = CliRunner().invoke(cli, [*options(settings), "dead-letters", *arguments])
    assert result.exit_code == code, result.output
    return result


def raw(settings: Settings) -> list[Message]:
    settle(settings)
    return list(range_consumer.read(settings, settings.topics.raw))


def test_list_counts_by_code_source_and_field_and_shows_no_payload(settings: Settings) -> None:
    at = int(time.time() * 1000)
    wrong_field = {"error_code": "invalid_field", "error_field": "data.action_id", "event_id": "b"}
    bury(settings, [{"timestamp": at - 60_000}, {"timestamp": at, "value": BROKEN, "headers": wrong_field}])

    listed = json.loads(run(settings, "list", "--json").stdout)
    assert listed["total"] == 2
    assert {(g["code"], g["source"], g["field"], g["letters"]) for g in listed["groups"]} == {
        ("internal_error", "test", None, 1),
        ("invalid_field", "test", "data.action_id", 1),
    }
    assert set(listed["groups"][0]) == {"code", "source", "field", "letters", "first", "last"}
    newest = listed["dead_letters"][-1]
    assert newest.pop("failed_at").endswith("Z")
    assert newest == {
        "partition": 1,
        "offset": 0,
        "code": "invalid_field",
        "stage": "map",
        "field": "data.action_id",
        "message": "a fault",
        "source": "test",
        "event_id": "b",
        "attempt": 0,
        "raw": {"topic": settings.topics.raw, "partition": 1, "offset": 1},
        "size_bytes": len(BROKEN),
        "redriven": False,
    }
    shown = run(settings, "list").stdout
    assert "invalid_field" in shown
    assert "no number" not in shown
    assert "no number" not in json.dumps(listed)


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ([], 4),
        (["--code", "unencodable"], 1),
        (["--code", "unencodable", "--code", "internal_error"], 4),
        (["--source", "other"], 1),
        (["--event-id", "e-0"], 1),
        (["--field", "data.x"], 1),
        (["--field", ""], 3),
        (["--at", "0:0", "--at", "1:0"], 2),
        (["--since", "1h"], 3),
        (["--until", "1h"], 1),
        (["--since", "2001-01-01", "--code", "too_large"], 0),
    ],
)
def test_filters(settings: Settings, filters: list[str], expected: int) -> None:
    bury(
        settings,
        [
            {"timestamp": int(time.time() * 1000) - 7_200_000},
            {"headers": {"error_code": "unencodable"}},
            {"headers": {"source": "other"}},
            {"headers": {"error_field": "data.x"}},
        ],
    )
    assert json.loads(run(settings, "list", "--json", *filters).stdout)["total"] == expected


def test_show_points_at_the_fault_and_carries_every_byte(settings: Settings) -> None:
    fault = {"error_code": "invalid_field", "error_field": "data.action_id"}
    bury(settings, [{"value": BROKEN, "headers": fault, "key": b"\xff"}, {"value": b"\xff\x00"}])

    shown = run(settings, "show", "0:0").stdout
    assert '▶     "action_id": "no number"' in shown.splitlines()
    assert "  error_field: data.action_id" in shown.splitlines()
    whole = json.loads(run(settings, "show", "0:0", "--json").stdout)
    assert whole["payload"].encode() == BROKEN
    assert whole["key_base64"] == "/w=="
    assert whole["headers"]["error_field"] == "data.action_id"
    assert json.loads(run(settings, "show", "1:0", "--json").stdout)["payload_base64"] == "/wA="
    result = CliRunner().invoke(cli, [*options(settings), "dead-letters", "show", "0:7"])
    assert "no dead letter at 0:7" in str(result.exception)


def test_show_says_what_this_version_would_make_of_it(settings: Settings) -> None:
    fault = {"error_code": "invalid_field", "error_field": "data.action_id"}
    bury(settings, [{"value": BROKEN, "headers": fault}, {}])
    assert (
        "a dead letter again: invalid_field: data.action_id must be a whole number"
        in run(settings, "show", "0:0").stdout
    )
    again = json.loads(run(settings, "show", "0:0", "--json").stdout)["now"]
    assert (again["outcome"], again["code"], again["field"]) == ("dead_letter", "invalid_field", "data.action_id")
    assert "an event: Email Sent" in run(settings, "show", "1:0").stdout
    assert json.loads(run(settings, "show", "1:0", "--json").stdout)["now"]["event"]["messageId"] == "e-1"


def test_a_list_of_the_newest_reads_no_more_and_says_what_it_read(settings: Settings) -> None:
    now = int(time.time() * 1000) // 60_000 * 60_000
    at = [now - (60 - index) * 60_000 for index in range(60)]
    bury(settings, [{"timestamp": ms} for ms in at])
    listed = json.loads(run(settings, "list", "--json", "--most-records", "30", "--limit", "2").stdout)
    assert (listed["total"], len(listed["dead_letters"])) == (30, 2)
    assert listed["looked_at"] == {
        "records": 30,
        "of": 60,
        "complete": False,
        "since": iso(at[32]),  # the first that was read of the partition whose first is the latest
        "redrives_unread": False,
    }
    assert sum(step["by_code"].get("internal_error", 0) for step in listed["over_time"]["steps"]) == 30
    assert (listed["over_time"]["step_s"], len(listed["over_time"]["steps"])) == (60, 30)
    said = run(settings, "list", "--most-records", "30")
    assert "read 30 of 60 records, everything since" in said.stderr

    old = json.loads(run(settings, "list", "--json", "--most-records", "6", "--until", iso(at[30])).stdout)
    assert {letter["failed_at"] for letter in old["dead_letters"]} == {iso(ms) for ms in at[24:30]}
    assert old["looked_at"]["redrives_unread"]
    everything = json.loads(run(settings, "list", "--json", "--most-records", "60").stdout)
    assert (everything["total"], everything["looked_at"]["complete"], everything["looked_at"]["since"]) == (
        60,
        True,
        None,
    )


def test_what_a_terminal_would_obey_is_shown_and_not_obeyed(settings: Settings) -> None:
    hostile = "\x1b]0;owned\x07\u202e\x9b2J"
    found = {"event_id": hostile, "source": hostile, "error_code": f"[/]{hostile}", "error_field": hostile}
    bury(settings, [{"value": f'{{"a":"{hostile}"'.encode(), "headers": found}])
    for arguments in (["list"], ["list", "--json"], ["show", "0:0"], ["show", "0:0", "--json"], ["export"]):
        shown = run(settings, *arguments).stdout
        assert "owned" in shown
        assert "".join(shown.splitlines()).isprintable(), arguments


def test_a_letter_goes_back_as_it_came_with_its_attempt_counted(settings: Settings) -> None:
    failed_at = int(time.time() * 1000) - 60_000  # older than the topic's retention, and the broker may remove it
    bury(
        settings,
        [
            {"partition": 2, "headers": {"content_type": "application/json", "traceparent": "00-a-b-01"}},
            {"partition": 1, "headers": {"attempt": "2"}, "key": None, "value": b"\xff{"},
            {"partition": 0, "headers": {"source": None, "received_at": None}, "timestamp": failed_at},
        ],
    )
    sent = json.loads(run(settings, "redrive", "--even-if-failing", "--json").stdout)
    assert sent == {"sent": 3, "by_code": {"internal_error": 3}, "left_out": {}, "exhausted": 0, "left": 0}

    found = {message.partition(): message for message in raw(settings)}
    assert {partition: message.value() for partition, message in found.items()} == {
        2: GOOD % (0, 0),
        1: b"\xff{",
        0: GOOD % (2, 2),
    }
    assert (found[2].key(), found[1].key()) == (b"u", None)
    assert dict(range_consumer.headers_of(found[2])) == {
        "source": b"test",
        "received_at": RECEIVED_AT.encode(),
        "event_id": b"e-0",
        "content_type": b"application/json",
        "traceparent": b"00-a-b-01",
        "attempt": b"1",
    }
    assert dict(range_consumer.headers_of(found[1]))["attempt"] == b"3"
    foreign = dict(range_consumer.headers_of(found[0]))
    assert foreign == {"event_id": b"e-2", "received_at": b"%d" % failed_at, "attempt": b"1"}

    assert len(find(settings, Selection())) == 0
    assert [letter.redriven for letter in find(settings, Selection(redriven=True))] == [True] * 3
    assert json.loads(run(settings, "redrive", "--json").stdout)["sent"] == 0
    assert len(raw(settings)) == 3


def test_a_dry_run_sends_nothing_and_says_what_would_come_of_it(settings: Settings) -> None:
    bury(settings, [{}, {"value": BROKEN}, {"value": b"{"}, {"headers": {"attempt": "5"}}])
    dry = json.loads(run(settings, "redrive", "--dry-run", "--json").stdout)
    would_become = {"event": 1, "invalid_field": 1, "malformed_json": 1}
    left_out = {"invalid_field": 1, "malformed_json": 1}
    assert dry == {"would_send": 1, "would_become": would_become, "left_out": left_out, "exhausted": 1}
    dry = json.loads(run(settings, "redrive", "--dry-run", "--even-if-failing", "--json").stdout)
    assert dry == {"would_send": 3, "would_become": would_become, "left_out": {}, "exhausted": 1}
    shown = run(settings, "redrive", "--dry-run").stdout
    assert "1 would become an event" in shown
    assert "2 dead letters left out" in shown
    shown = run(settings, "redrive", "--dry-run", "--even-if-failing").stdout
    assert "1 would become a dead letter again: malformed_json" in shown
    assert raw(settings) == []
    assert len(find(settings, Selection())) == 4


def test_what_would_fail_again_is_left_out_unless_told_otherwise(settings: Settings) -> None:
    nobody = {"error_code": "missing_identity"}
    bury(settings, [{"value": b"{}", "headers": nobody, "partition": 0} for _ in range(5)])
    bury(settings, [{"partition": 0}, {"value": BROKEN, "partition": 1}])
    ran = run(settings, "redrive", "--since", "1h", "--json")
    assert json.loads(ran.stdout) == {
        "sent": 1,
        "by_code": {"internal_error": 1},
        "left_out": {"missing_identity": 5, "invalid_field": 1},
        "exhausted": 0,
        "left": 0,
    }
    assert "6 dead letters left out" in ran.stderr
    assert "5 missing_identity, 1 invalid_field" in ran.stderr
    assert [message.value() for message in raw(settings)] == [GOOD % (0, 0)]
    assert len(find(settings, Selection())) == 6

    of_one = json.loads(run(settings, "redrive", "--at", "0:3", "--json").stdout)
    assert (of_one["sent"], of_one["left_out"]) == (0, {"missing_identity": 1})
    assert "0 dead letters sent back" in run(settings, "redrive", "--at", "0:3").stdout
    assert json.loads(run(settings, "redrive", "--at", "0:3", "--even-if-failing", "--json").stdout)["sent"] == 1
    assert json.loads(run(settings, "redrive", "--even-if-failing", "--json").stdout)["sent"] == 5
    assert len(raw(settings)) == 7


def test_letters_fail_again_by_encoder_and_size_and_faults_of_ours_too(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the processor would find out, the plan does."""
    large = json.dumps({"data": {"customer_id": "u", "subject": "x" * 500_000}}).encode()
    bury(settings, [{"value": large}, {}])
    small = settings.model_copy(update={"ingest": settings.ingest.model_copy(update={"max_body_bytes": 1_024})})
    found = plan(small, Selection())
    assert (found.would_become, found.failing) == ({"event": 1, "too_large": 1}, {"too_large": 1})

    def fail(*_: object) -> None:
        raise RuntimeError("a person's data")

    monkeypatch.setattr("processor.pipeline.mapper.object_or_empty", fail)
    ran = run(settings, "redrive", "--json")
    assert json.loads(ran.stdout)["left_out"] == {"internal_error": 2}
    assert "data" not in ran.output.replace("data.", "")


def test_the_cap_on_attempts_leaves_letters_where_they_are(settings: Settings) -> None:
    bury(settings, [{"headers": {"attempt": str(attempt)}} for attempt in range(7)])
    sent = json.loads(run(settings, "redrive", "--json", "--max-attempts", "3").stdout)
    assert (sent["sent"], sent["exhausted"]) == (3, 4)
    assert Counter(dict(range_consumer.headers_of(message))["attempt"] for message in raw(settings)) == {
        b"1": 1,
        b"2": 1,
        b"3": 1,
    }
    assert "4 dead letters left alone" in run(settings, "redrive", "--max-attempts", "3").stderr


def test_what_was_committed_is_not_sent_again_wherever_it_breaks_off(settings: Settings) -> None:
    bury(settings, [{} for _ in range(30)])

    def send(interrupted: threading.Event, on_sent: Callable[[int], None]) -> int:
        return redrive(
            settings, ChangesAllowed(), Selection(), interrupted=interrupted, on_plan=lambda plan: None, on_sent=on_sent
        ).sent.total()

    def fail(_: int) -> None:
        raise RuntimeError("in between")

    with pytest.raises(RuntimeError, match="in between"):
        send(threading.Event(), fail)
    sent = len(raw(settings))  # the batch was committed before we broke off
    assert sent > 0
    while sent < 30:  # how many batches there are is for the brokers to say
        interrupted = threading.Event()
        more = send(interrupted, lambda _, interrupted=interrupted: setattr(interrupted, "now", True))  # type: ignore[misc]
        assert more > 0
        sent += more
    assert send(threading.Event(), fail) == 0
    assert Counter(dict(range_consumer.headers_of(m))["event_id"] for m in raw(settings)) == {
        f"e-{n}".encode(): 1 for n in range(30)
    }


def test_a_redrive_ends_once_a_list_shows_what_it_sent(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even if a transaction of someone else, which readers wait for, ends later."""
    monkeypatch.setattr(command_transactions, "VISIBLE_S", PATIENCE_S)
    bury(settings, [{} for _ in range(3)])
    other: list[Producer] = []

    def begin_another(_: RedrivePlan) -> None:
        other.append(in_transaction(settings))
        threading.Timer(1.0, other[0].commit_transaction).start()

    sent = redrive(
        settings,
        ChangesAllowed(),
        Selection(),
        interrupted=threading.Event(),
        on_plan=begin_another,
        on_sent=lambda _: None,
    )
    assert (len(other), sent.left) == (1, 0)
    assert list_dead_letters(settings, Selection(), 10).total == 0


def test_a_redrive_sends_nothing_while_it_cannot_see_what_went_back_already(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A killed program's transaction in the dead-letter topic hides the redrive markers after it."""
    bury(settings, [{} for _ in range(3)])
    monkeypatch.setattr(command_transactions, "VISIBLE_S", 1.0)
    other: list[Producer] = []
    arguments: dict[str, Any] = {"interrupted": threading.Event(), "on_sent": lambda _: None}
    redrive(
        settings, ChangesAllowed(), Selection(), on_plan=lambda _: other.append(in_transaction(settings)), **arguments
    )
    with pytest.raises(DependencyError, match="a transaction of another program is open"):
        redrive(settings, ChangesAllowed(), Selection(), on_plan=lambda _: None, **arguments)
    other[0].abort_transaction(PATIENCE_S)
    settle(settings)
    assert redrive(settings, ChangesAllowed(), Selection(), on_plan=lambda _: None, **arguments).sent.total() == 0
    assert len(raw(settings)) == 3


def in_transaction(settings: Settings) -> Producer:
    """A producer of another program with an open transaction in the dead-letter topic."""
    other = Producer(
        {
            "bootstrap.servers": settings.kafka.bootstrap_servers,
            "transactional.id": settings.topics.raw,
            "transaction.timeout.ms": 300_000,
        }
    )
    other.init_transactions(PATIENCE_S)
    other.begin_transaction()
    other.produce(settings.topics.dead_letters, value=b"another letter", partition=1)
    other.flush(PATIENCE_S)
    return other


def test_a_killed_redrive_is_taken_up_by_the_next(settings: Settings, tmp_path: Path) -> None:
    """SIGKILL in the middle of a transaction: nothing of it counts, and the next run waits for no time-out."""
    bury(settings, [{} for _ in range(9)])
    script = tmp_path / "hang.py"
    script.write_text(
        "import sys, signal\n"
        "from runtime.settings.loader import load\n"
        "from runtime.kafka.command_transactions import CommandTransactions\n"
        "settings = load(None, {'kafka.bootstrap_servers': sys.argv[1]})\n"
        "transactions = CommandTransactions(settings, sys.argv[3])\n"
        "with transactions.transaction():\n"
        "    for n in range(9):\n"
        "        transactions.produce(sys.argv[2], value=b'half', partition=n % 3)\n"
        "    transactions._producer.flush()\n"
        "    print('written', flush=True)\n"
        "    signal.pause()\n"
    )
    name = f"{settings.processor.group_id}.redrive"
    arguments = [settings.kafka.bootstrap_servers, settings.topics.raw, name]
    environment = {**os.environ, "PYTHONPATH": os.getcwd()}
    with subprocess.Popen([sys.executable, script, *arguments], stdout=subprocess.PIPE, env=environment) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"written\n"
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert json.loads(run(settings, "redrive", "--json").stdout)["sent"] == 9
    assert len(raw(settings)) == 9


def test_of_two_at_once_the_later_goes_on(settings: Settings) -> None:
    earlier = CommandTransactions(settings, settings.processor.group_id)
    CommandTransactions(settings, settings.processor.group_id)
    with pytest.raises(DependencyError, match="another command took over"), earlier.transaction():
        earlier.produce(settings.topics.raw, value=b"late")
    assert raw(settings) == []


def test_export_to_a_full_disk_names_the_file(settings: Settings) -> None:
    bury(settings, [{"value": BROKEN}])
    result = CliRunner().invoke(cli, [*options(settings), "dead-letters", "export", "--output", "/dev/full"])
    assert isinstance(result.exception, DependencyError)
    assert str(result.exception).startswith("/dev/full cannot be written (No space left on device); ")


def test_export_feeds_the_mapping_on_the_command_line(settings: Settings, tmp_path: Path) -> None:
    bury(settings, [{"value": b'{\n"a":1}'}, {"value": BROKEN, "headers": {"error_code": "invalid_field"}}])
    file = tmp_path / "letters.jsonl"
    run(settings, "export", "--output", str(file))
    whole = [json.loads(line) for line in file.read_text().splitlines()]
    assert sorted(letter["payload"] for letter in whole) == sorted(['{\n"a":1}', BROKEN.decode()])
    bodies = run(settings, "export", "--bodies", "--code", "invalid_field").stdout_bytes
    assert bodies == BROKEN + b"\n"


def test_a_missing_topic_says_which_command_makes_it(kafka: Kafka, make_settings: SettingsMaker) -> None:
    del kafka
    settings = make_settings(TopicSettings(raw="no-raw", events="no-events", dead_letters="no-dead-letters"))
    with pytest.raises(DependencyError, match="sternpost topics create"):
        find(settings, Selection())
