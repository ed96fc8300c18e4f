"""docs/sinks/quix.py: Quix Streams, into files of JSON Lines."""

import json
from pathlib import Path

from tests.sinks.comparison import assert_same, present
from tests.sinks.conftest import StartPython
from tests.sinks.environment import CONFIGURATIONS
from tests.sinks.published import PATIENCE_S, Published
from tests.sinks.test_consumer import parsed


def test_every_event_is_in_the_files_once(published: Published, start_python: StartPython, tmp_path: Path) -> None:
    folder = tmp_path / "events"

    def lines() -> list[str]:
        return [line for file in folder.rglob("*.jsonl") for line in file.read_text("utf-8").splitlines()]

    app = start_python(CONFIGURATIONS / "quix.py", {"DIRECTORY": "events"})
    app.wait_until(lambda: len(lines()) >= len(published.events), PATIENCE_S)
    app.stop(PATIENCE_S)
    assert app.exit_code == 0

    records = [json.loads(line) for line in lines()]
    assert_same([present(parsed(json.dumps(record["_value"]))) for record in records], published.events)
    keys = {event["messageId"]: event["userId"] or event["anonymousId"] for event in published.events}
    assert {record["_value"]["messageId"]: record["_key"] for record in records} == keys
