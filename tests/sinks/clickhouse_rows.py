"""Insert values of the events topic into ClickHouse's tables, and print the rows: run by the sinks' interpreter.

`clickhouse_rows.py REGISTRY_URL SQL_FILE VALUES_FILE` prints JSON lines. ClickHouse runs within this process (chdb),
where its engine Kafka cannot: an engine that passes rows on at once is in its place, and the values come from a file.
Their format, columns and the view are those of the SQL file.
"""

import sys
from pathlib import Path

from chdb import session

_, registry_url, sql_file, values_file = sys.argv
queue, view, rest = Path(sql_file).read_text("utf-8").split(";\n")
assert not rest.strip()
definition, _, settings = queue.partition("ENGINE = Kafka")
assert "kafka_format = 'AvroConfluent'" in settings

clickhouse = session.Session()
clickhouse.query(f"SET format_avro_schema_registry_url = '{registry_url}'")
clickhouse.query(f"{definition} ENGINE = Null")
clickhouse.query(view)
columns = clickhouse.query(
    "SELECT arrayStringConcat(groupArray(concat('`', name, '` ', type)), ', ') FROM system.columns"
    " WHERE table = 'events_queue'",
    "TSVRaw",
)
for _attempt in range(2):  # the second time as after a crash between the insert and the commit of the offsets
    clickhouse.query(
        f"INSERT INTO events_queue SELECT * FROM file('{values_file}', AvroConfluent, $${str(columns).strip()}$$)"
    )
sys.stdout.write(
    str(
        clickhouse.query(
            "SELECT * FROM events FINAL SETTINGS output_format_json_quote_64bit_integers = 0,"
            " date_time_output_format = 'iso'",
            "JSONEachRow",
        )
    )
)
