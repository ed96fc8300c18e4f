"""Print an Iceberg table's rows as JSON lines, as pyiceberg or DuckDB reads them: run by the sinks' interpreter.

`iceberg_rows.py pyiceberg|duckdb METADATA_FILE`. pyiceberg reads the table's metadata in both cases: DuckDB's extension
for Iceberg would be downloaded, so it reads the files that the metadata lists.
"""

import json
import sys

import duckdb
from pyiceberg.table import StaticTable

_, reader, metadata = sys.argv
table = StaticTable.from_metadata(metadata)
if reader == "pyiceberg":
    arrow = table.scan().to_arrow()
else:
    files = [task.file.file_path.removeprefix("file:") for task in table.scan().plan_files()]
    duckdb.sql("SET TimeZone = 'UTC'")
    arrow = duckdb.read_parquet(files).to_arrow_table()
for row in arrow.to_pylist(maps_as_pydicts="strict"):
    sys.stdout.write(json.dumps(row, default=lambda moment: moment.isoformat()) + "\n")
