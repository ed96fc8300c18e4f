"""docs/sinks/connect-file.json: Kafka Connect with an Avro converter, into a file of JSON."""

import json
from pathlib import Path

from tests.sinks.comparison import assert_same, present
from tests.sinks.conftest import Configuration
from tests.sinks.connect import Connect
from tests.sinks.published import PATIENCE_S, Published


def test_every_event_is_in_the_file_once(
    published: Published, connect: Connect, configuration: Configuration, tmp_path: Path
) -> None:
    file = tmp_path / "events.jsonl"
    connect.add(json.loads(configuration("connect-file.json", {"/var/lib/connect/events.jsonl": str(file)})))

    def lines() -> list[str]:
        return file.read_text("utf-8").splitlines() if file.exists() else []

    connect.wait_for("events-to-file", lambda: len(lines()) >= len(published.events), PATIENCE_S)
    connect.remove("events-to-file")
    assert_same([present(json.loads(line)) for line in lines()], published.events)  # times are Unix milliseconds there
