"""Records that other programs wrote into our topics, with all that Kafka allows in them."""

import json
from contextlib import closing
from typing import Any

import pytest
from click.testing import CliRunner
from confluent_kafka.schema_registry import Schema, SchemaRegistryClient

from runtime.settings.model import Settings
from schemas.avro.wire_format import frame
from sternpost.cli.main import cli
from tests.integration.test_processor import Start, send, settings_for, start
from tests.support import odd_headers, other_schemas
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


def test_another_programs_records_in_the_events_topic_are_no_events(
    kafka: Kafka, settings: Settings, start: Start
) -> None:
    """Several programs may write into one topic, each with its schemas, and into one registry."""
    start(settings, "one")
    servers, topics = settings.kafka.bootstrap_servers, settings.topics
    strangers = [
        *((Schema(json.dumps(schema), "AVRO"), payload) for schema, payload in other_schemas.REGISTERED),
        (Schema('{"$schema": "http://json-schema.org/draft-07/schema#", "type": "object"}', "JSON"), b"{}"),
        (Schema('syntax = "proto3"; message A { string a = 1; }', "PROTOBUF"), b"\0\x0a\x01a"),
    ]
    with closing(SchemaRegistryClient({"url": settings.schema_registry.url})) as client:
        for number, (schema, payload_bytes) in enumerate(strangers):
            schema_id = client.register_schema(f"{topics.events}-stranger-{number}", schema)
            odd_headers.write(servers, topics.events, frame(schema_id) + payload_bytes, [], b"person")
    for no_id in (b"\x7f\xff\xff\xff", b"\xff\xff\xff\xff"):  # none, and more than there can be
        odd_headers.write(servers, topics.events, b"\0" + no_id + b"person", [], b"person")
    odd_headers.write(servers, topics.raw, payload("ours"), [(b"event_id", b"ours")], b"person")

    def tailed() -> list[str]:
        lines = run(settings, "tail", "--from-beginning", "--no-follow").splitlines()
        return [json.loads(line)["messageId"] for line in lines]

    until(lambda: tailed() == ["ours"])
    assert json.loads(run(settings, "find", "ours", "--json"))["records"][0]["became"] == "event"
    found = run(settings, "person", "find", "person", "--in", "events").splitlines()
    assert len(found) == len(strangers) + 2
    difference = json.loads(run(settings, "replay", "--dry-run", "--from", "1h", "--json"))
    told = (difference["records"], difference["unchanged"], difference["unreadable"])
    assert told == (1, 1, len(strangers) + 2), difference
