"""`sternpost person find` in the topics of a pipeline that ran: every record of the person, and nobody else's."""

import base64
import json
from collections import Counter
from typing import Any

from click.testing import CliRunner

from runtime.kafka import range_consumer
from runtime.settings.model import Settings, TopicSettings
from sternpost.cli.main import cli
from sternpost.local import samples
from tests.support.kafka import SettingsMaker, idempotent_producer
from tests.support.service import Starter
from tests.support.waiting import PATIENCE_S, until

BROKEN = b'{"data":{"recipient":"user-000001@example.com"'
PEOPLE = 5


def find(settings: Settings, *arguments: str) -> tuple[list[dict[str, Any]], str]:
    done = CliRunner().invoke(
        cli,
        [
            f"--set=kafka.bootstrap_servers={settings.kafka.bootstrap_servers}",
            f"--set=schema_registry.url={settings.schema_registry.url}",
            *(f"--set=topics.{name}={value}" for name, value in settings.topics.model_dump().items()),
            *("person", "find", *arguments),
        ],
    )
    assert done.exit_code == 0, done.output
    return [json.loads(line) for line in done.stdout.splitlines()], done.stderr


def place(record: dict[str, Any]) -> tuple[str, int, int]:
    return record["topic"], record["partition"], record["offset"]


def test_every_record_of_a_person_is_found_in_every_topic_and_partition(
    start: Starter, make_settings: SettingsMaker
) -> None:
    settings = make_settings(TopicSettings.model_validate(start.topics))
    payloads = list(samples.one_of_each(people=PEOPLE))
    values = [*(json.dumps(payload).encode() for payload in payloads), BROKEN]
    producer = idempotent_producer(settings.kafka.bootstrap_servers)
    for index, value in enumerate(values):
        producer.produce(settings.topics.raw, value=value, partition=index % 2)  # not where a key would put it
    producer.produce(settings.topics.events, value=b"not an event, of user-000001@example.com", partition=0)
    assert producer.flush(PATIENCE_S) == 0
    start("process")

    def records(topic: str) -> int:
        return sum(len(batch) for batch in range_consumer.read_ranges(settings, topic, ranges(topic)))

    def ranges(topic: str) -> list[range_consumer.OffsetRange]:
        return range_consumer.readable_ranges(settings, topic)

    until(lambda: records(settings.topics.events) == len(payloads) + 1 and records(settings.topics.dead_letters) == 1)

    hers = sum(index % PEOPLE == 1 for index in range(len(payloads)))
    found, said = find(settings, "USER-000001@example.com", "user-000001")
    assert Counter(record["topic"] for record in found) == {
        settings.topics.raw: hers + 1,
        settings.topics.events: hers + 1,
        settings.topics.dead_letters: 1,
    }
    assert f"{settings.topics.raw}: {hers + 1} records found" in said
    assert {record["partition"] for record in found if record["topic"] == settings.topics.raw} == {0, 1}
    assert len({place(record) for record in found}) == len(found)
    assert "user-000001" not in json.dumps(found)

    with_values, _ = find(settings, "user-000001@example.com", "user-000001", "--show-values", "--in", "raw")
    kept = {
        (message.topic(), message.partition(), message.offset()): message.value()
        for batch in range_consumer.read_ranges(settings, settings.topics.raw, ranges(settings.topics.raw))
        for message in batch
    }
    assert len(with_values) == hers + 1
    for record in with_values:
        if "value" in record and record["value"] is not None:
            assert record["value"] == json.loads(kept[place(record)] or b"")
        else:
            assert base64.b64decode(record["value_base64"]) == BROKEN

    assert find(settings, "nobody@example.com")[0] == []
    by_cio_id, _ = find(settings, "c10000000001", "--in", "events")
    assert len(by_cio_id) == hers
