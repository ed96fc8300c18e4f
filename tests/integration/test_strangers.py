"""Records that other programs wrote into our topics, with all that Kafka allows in them."""

import json
from typing import Any

import pytest
from click.testing import CliRunner

from runtime.settings.model import Settings
from sternpost.cli.main import cli
from tests.integration.test_processor import Start, send, settings_for, start
from tests.support import odd_headers
from tests.support.kafka import Kafka, SettingsMaker, TopicMaker
from tests.support.raw_records import payload
from tests.support.waiting import until

__all__ = ["start"]

NAMES = [(b"\xff\xfe", b"a name that is not UTF-8"), (b"source", b"told"), (b"", b"no name"), (b"\xc3", b"")]


@pytest.fixture
def settings(make_topics: TopicMaker, make_settings: SettingsMaker) -> Settings:
    return settings_for(make_topics, make_settings)


def run(settings: Settings, *arguments: str) -> str:
    topics = [f"--set=topics.{name}={value}" for name, value in settings.topics.model_dump().items()]
    given = [
        f"--set=kafka.bootstrap_servers={settings.kafka.bootstrap_servers}",
        f"--set=schema_registry.url={settings.schema_registry.url}",
        f"--set=processor.group_id={settings.processor.group_id}",
    ]
    result = CliRunner().invoke(cli, [*given, *topics, *arguments])
    assert result.exit_code == 0, result.output
    return result.stdout


def test_header_names_that_are_not_text_stop_nobody(kafka: Kafka, settings: Settings, start: Start) -> None:
    """The client raises SystemError for them, and ends the process if it is asked again."""
    service = start(settings, "one")
    servers, topics = settings.kafka.bootstrap_servers, settings.topics
    # Python calls a method in another way once it has called it often.
    send(settings, (("person", b"%d" % number, payload(f"before-{number}"), {}) for number in range(50)))
    odd_headers.write(servers, topics.raw, payload("an-event"), NAMES, b"person")
    odd_headers.write(servers, topics.raw, b"a dead letter", NAMES)
    for topic in (topics.events, topics.dead_letters):
        odd_headers.write(servers, topic, b"nonsense", NAMES)
        odd_headers.write(servers, topic, b"nonsense", [(b"error_code", b"strange"), *NAMES])
    odd_headers.write(servers, topics.raw, payload("the-last"), [(b"source", b"other")], b"person")

    def committed() -> dict[str, Any]:
        lines = run(settings, "tail", "--from-beginning", "--no-follow").splitlines()
        return {event["messageId"]: event for event in map(json.loads, lines)}

    def listed() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(run(settings, "dead-letters", "list", "--json"))["dead_letters"]
        return found

    until(lambda: committed().keys() >= {"an-event", "the-last"})
    assert committed()["an-event"]["context"]["sourceId"] == "default"
    assert committed()["the-last"]["context"]["sourceId"] == "other"
    until(lambda: [letter["code"] for letter in listed()] == ["malformed_json"])
    assert json.loads(run(settings, "find", "an-event", "--json"))["records"][0]["became"] == "event"
    run(settings, "status", "--json")
    run(settings, "replay", "--dry-run", "--from", "1h", "--json")
    assert b"worker ended" not in service.log.read_bytes()
