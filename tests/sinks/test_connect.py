"""docs/sinks/connect-file.json: Kafka Connect with an Avro converter, into a file of JSON."""

import json
from pathlib import Path

from tests.sinks.comparison import assert_same, present
from tests.sinks.conftest import Configuration
from tests.sinks.connect import Connect
from tests.sinks.published import PATIENCE_S, Event, Published


def test_every_event_is_in_the_file_once(
    published: Published, connect: Connect, configuration: Configuration, tmp_path: Path
) -> None:
    connector = json.loads(configuration("connect-file.json", {"/var/lib/connect": str(tmp_path)}))
    lines = written(connect, connector, len(published.events))
    assert_same([present(json.loads(line)) for line in lines], published.events)  # times are Unix milliseconds there


def test_without_read_committed_aborted_events_are_in_the_file_too(
    published: Published, connect: Connect, configuration: Configuration, tmp_path: Path
) -> None:
    connector = json.loads(configuration("connect-file.json", {"/var/lib/connect": str(tmp_path)}))
    connector["name"] += "-uncommitted"
    del connector["config"]["consumer.override.isolation.level"]
    count = len(published.events) + published.aborted
    assert len(written(connect, connector, count)) == count


def written(connect: Connect, connector: Event, count: int) -> list[str]:
    """Return the lines of the connector's file once there are `count`."""
    file = Path(connector["config"]["file"])

    def lines() -> list[str]:
        return file.read_text("utf-8").splitlines() if file.exists() else []

    connect.add(connector)
    connect.wait_for(connector["name"], lambda: len(lines()) >= count, PATIENCE_S)
    connect.remove(connector["name"])
    return lines()
