"""docs/examples/: the mapping in stream libraries of others."""

import json
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient, NewTopic

from tests.sinks.comparison import assert_same
from tests.sinks.conftest import StartPython
from tests.sinks.environment import ROOT
from tests.sinks.published import PARTITIONS, PATIENCE_S, Event, Published, committed_records, transformed

EXAMPLES = ROOT / "docs" / "examples"
PROFILE = "corrected"


@pytest.fixture
def json_topic(published: Published) -> Iterator[str]:
    name = f"sinks-json-{uuid.uuid4().hex[:8]}"
    admin = AdminClient({"bootstrap.servers": published.kafka.bootstrap_servers})
    admin.create_topics([NewTopic(name, PARTITIONS)])[name].result(30)
    yield name
    admin.delete_topics([name])[name].exception(30)


@pytest.mark.parametrize("example", ["confluent_kafka_loop.py", "quix_mapper.py"])
def test_a_stream_job_makes_the_processor_s_events(
    published: Published, start_python: StartPython, json_topic: str, example: str
) -> None:
    wanted = [event for event in published.json() if event["context"]["sourceId"] == PROFILE]
    topics = {"RAW_TOPIC": published.raw_topics[PROFILE], "JSON_TOPIC": json_topic}
    job = start_python(EXAMPLES / example, topics)

    def made() -> list[Event]:
        return [json.loads(value) for _, value in committed_records(published.kafka, json_topic)]

    job.wait_until(lambda: len(made()) >= len(wanted), PATIENCE_S)
    job.stop(PATIENCE_S)
    assert_same([without_origin(event) for event in made()], wanted, without_origin)


def without_origin(event: Event) -> Event:
    """Quix does not tell a function the offset."""
    return {**event, "context": {name: value for name, value in event["context"].items() if name != "origin"}}


def test_beam_makes_what_transform_prints(published: Published, start_python: StartPython, tmp_path: Path) -> None:
    bodies = published.bodies[PROFILE]
    (tmp_path / "webhooks.jsonl").write_bytes(b"\n".join([*bodies, b'{"half":']))
    job = start_python(EXAMPLES / "beam_mapper.py", {})
    job.await_end(PATIENCE_S)
    assert job.exit_code == 0, job.output()[-3000:]

    lines = [line for file in tmp_path.glob("events-*.jsonl") for line in file.read_text("utf-8").splitlines()]

    def timeless(event: Event) -> Event:
        """Without what depends on when it was mapped, and by whom."""
        own = ("receivedAt", *(() if "originalTimestamp" in event else ("timestamp",)))
        context = {**event["context"], "sourceId": "default"}
        return {**{name: value for name, value in event.items() if name not in own}, "context": context}

    assert_same([timeless(json.loads(line)) for line in lines], transformed(PROFILE, bodies), timeless)
    [dead] = [line for file in tmp_path.glob("dead-*.txt") for line in file.read_text("utf-8").splitlines()]
    assert dead.startswith("malformed_json: ")
