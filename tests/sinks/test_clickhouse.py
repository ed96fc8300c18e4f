"""docs/sinks/clickhouse.sql: ClickHouse (chdb) with the format AvroConfluent, into flat columns."""

import subprocess
from pathlib import Path

import pytest

from tests.sinks.comparison import assert_same, flattened, present
from tests.sinks.environment import CONFIGURATIONS, PYTHON
from tests.sinks.published import Event, Published
from tests.sinks.test_consumer import parsed


def without_empty(event: Event) -> Event:
    """ClickHouse's maps and arrays are never null: absent ones are empty."""
    flat = present(flattened(event, "_"))
    return {"properties_headers": {}, "properties_recipients": [], **flat}


@pytest.mark.skipif(not PYTHON.exists(), reason="run `make sinks`")
def test_every_event_is_a_row_once_even_if_it_is_inserted_again(published: Published, tmp_path: Path) -> None:
    values = tmp_path / "values"
    values.write_bytes(b"".join(value for _, value in published.records))
    program = Path(__file__).with_name("clickhouse_rows.py")
    arguments = [program, published.kafka.registry_url, CONFIGURATIONS / "clickhouse.sql", values]
    command = [str(part) for part in (PYTHON, *arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    rows = [present(parsed(line)) for line in done.stdout.splitlines()]
    assert_same(rows, published.events, without_empty)
