"""docs/sinks/connect-iceberg.json: the Iceberg sink on Kafka Connect, read by pyiceberg and by DuckDB."""

import json
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka.admin import AdminClient, NewTopic

from tests.sinks.comparison import assert_same, present
from tests.sinks.conftest import Configuration
from tests.sinks.connect import Connect
from tests.sinks.environment import PYTHON
from tests.sinks.published import PATIENCE_S, Event, Published
from tests.sinks.test_consumer import parsed

NAME = "events-to-iceberg"


def with_list(event: Event) -> Event:
    """Return an event as pyiceberg reads it: a list of records that is null in the files is empty."""
    found: Event = present(
        {**event, "properties": {**event["properties"], "recipients": event["properties"]["recipients"] or []}}
    )
    return found


@pytest.fixture
def control_topic(published: Published) -> Iterator[str]:
    name = f"iceberg-{uuid.uuid4().hex[:8]}"
    admin = AdminClient({"bootstrap.servers": published.kafka.bootstrap_servers})
    admin.create_topics([NewTopic(name, 1)])[name].result(30)
    yield name
    admin.delete_topics([name])[name].exception(30)


def test_every_event_is_in_the_table_once(
    published: Published, connect: Connect, configuration: Configuration, control_topic: str, tmp_path: Path
) -> None:
    folder = tmp_path / "warehouse" / "analytics" / "events" / "metadata"
    ours = {"/var/lib/warehouse": str(tmp_path / "warehouse"), "iceberg-control": control_topic, "60000": "2000"}

    def metadata() -> Path:
        return folder / f"v{(folder / 'version-hint.text').read_text()}.metadata.json"

    def count() -> int:
        if not (folder / "version-hint.text").exists():
            return 0
        table: dict[str, Any] = json.loads(metadata().read_text("utf-8"))
        current = [one for one in table.get("snapshots", ()) if one["snapshot-id"] == table["current-snapshot-id"]]
        return sum(int(one["summary"]["total-records"]) for one in current)

    connect.add(json.loads(configuration("connect-iceberg.json", ours)))
    connect.wait_for(NAME, lambda: count() >= len(published.events), 2 * PATIENCE_S)
    connect.remove(NAME)

    for reader, form in (("pyiceberg", with_list), ("duckdb", present)):
        command = [str(part) for part in (PYTHON, Path(__file__).with_name("iceberg_rows.py"), reader, metadata())]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr[-3000:]
        assert_same([present(parsed(line)) for line in done.stdout.splitlines()], published.events, form)
