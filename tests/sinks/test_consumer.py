"""docs/sinks/consumer.py: confluent-kafka's AvroDeserializer, into SQLite with the offsets."""

import json
import sqlite3
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from tests.sinks.comparison import assert_same, milliseconds, present
from tests.sinks.conftest import StartPython
from tests.sinks.environment import CONFIGURATIONS
from tests.sinks.published import PATIENCE_S, Event, Published

TIMES = ("timestamp", "originalTimestamp", "sentAt", "receivedAt")


def parsed(text: str, form: Callable[[Event], Event] = dict) -> Event:
    """Return an event of JSON with times as ISO-8601, in the form that is compared; `form` names the columns."""
    event: Event = json.loads(text)
    times = [name for name in form(dict.fromkeys(TIMES)) if event.get(name) is not None]
    return {**event, **{name: milliseconds(datetime.fromisoformat(event[name])) for name in times}}


def test_every_event_is_in_sqlite_once_even_if_the_reader_is_killed(
    published: Published, start_python: StartPython, tmp_path: Path
) -> None:
    file = tmp_path / "events.sqlite"

    def rows(sql: str) -> list[Any]:
        try:
            with sqlite3.connect(file) as database:
                return database.execute(sql).fetchall()
        except sqlite3.OperationalError:  # no table yet
            return []

    program = CONFIGURATIONS / "consumer.py"
    reader = start_python(program, {"DATABASE": file, "BATCH": 1})
    reader.wait_until(lambda: bool(rows("SELECT 1 FROM events")), PATIENCE_S)
    reader.kill()
    reader = start_python(program, {"DATABASE": file})
    reader.wait_until(lambda: "reading" in reader.output(), PATIENCE_S)
    reader.wait_until(lambda: len(rows("SELECT 1 FROM events")) >= len(published.events), PATIENCE_S)
    reader.stop(PATIENCE_S)
    assert reader.exit_code == 0

    stored = rows("SELECT json FROM events")
    assert_same([present(parsed(text)) for (text,) in stored], published.events)
    people = {event["messageId"]: event["userId"] or event["anonymousId"] for event in published.events}
    assert dict(rows("SELECT message_id, user_id FROM events")) == people
