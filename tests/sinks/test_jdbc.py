"""docs/sinks/connect-jdbc.json and postgresql.sql: Debezium's JDBC sink into PostgreSQL, and a view with columns."""

import json
import re

from tests.sinks import postgres
from tests.sinks.comparison import assert_same, flattened, present
from tests.sinks.conftest import Configuration
from tests.sinks.connect import Connect
from tests.sinks.environment import CONFIGURATIONS
from tests.sinks.published import PATIENCE_S, Event, Published
from tests.sinks.test_consumer import parsed

NAME = "events-to-database"


def snake(event: Event) -> Event:
    """Return an event by its columns in the view."""
    return {
        re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower(): value for name, value in flattened(event, "_").items()
    }


def without_nul(event: Event) -> Event:
    """Return the event without U+0000, which PostgreSQL does not store."""
    return {name: value.replace("\0", "") if isinstance(value, str) else value for name, value in event.items()}


def test_every_event_is_a_row_once_even_if_it_is_read_again(
    published: Published, connect: Connect, configuration: Configuration
) -> None:
    with postgres.running() as database:
        connector = json.loads(
            configuration("connect-jdbc.json", {"jdbc:postgresql://database:5432/analytics": database.url})
        )

        def count() -> int:
            return len(database.rows("SELECT 1 FROM events"))

        connect.add(connector)
        connect.wait_for(NAME, lambda: count() >= len(published.events), PATIENCE_S)
        connect.remove(NAME)
        database.execute("DELETE FROM events WHERE messageid LIKE '%awkward%'")
        # Another name is another consumer group, which begins at the beginning: every event is written again.
        again = {"name": f"{NAME}-again", "config": connector["config"]}
        connect.add(again)
        connect.wait_for(again["name"], lambda: count() >= len(published.events), PATIENCE_S)
        connect.remove(again["name"])

        rows = database.rows("SELECT * FROM events")
        assert_same([present(json.loads(row["event"])) for row in rows], published.events)
        assert all(json.loads(row["event"])["messageId"] == row["messageid"] for row in rows)

        database.execute((CONFIGURATIONS / "postgresql.sql").read_text("utf-8"))
        viewed = [present(parsed(json.dumps(row), snake)) for row in database.rows("SELECT * FROM event_columns")]
        by_column = {event["messageId"]: present(without_nul(snake(event))) for event in published.events}
        assert {row["message_id"]: row for row in viewed} == by_column
