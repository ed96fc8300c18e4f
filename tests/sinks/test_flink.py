"""docs/sinks/flink.sql: Flink SQL with the format avro-confluent, into files of JSON."""

import os
import subprocess
from pathlib import Path

from tests.sinks.comparison import assert_same, present
from tests.sinks.conftest import Configuration
from tests.sinks.connect import jars
from tests.sinks.environment import java, site_packages
from tests.sinks.published import Published
from tests.sinks.test_consumer import parsed

TIMEOUT_S = 300
BOUNDED = "'scan.startup.mode' = 'earliest-offset',\n  'scan.bounded.mode' = 'latest-offset'"
"""The job ends where the topic ended at its start."""

# Flink's own start script opens these too.
OPENED = ("java.lang", "java.util", "java.time", "java.net", "java.io", "java.nio")


def test_every_event_is_in_the_files_once(published: Published, configuration: Configuration, tmp_path: Path) -> None:
    ours = {"/var/lib/flink": str(tmp_path), "'scan.startup.mode' = 'earliest-offset'": BOUNDED}
    script = tmp_path / "flink.sql"
    # The client waits for the job.
    script.write_text("SET 'table.dml-sync' = 'true';\n" + configuration("flink.sql", ours), "utf-8")
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "config.yaml").write_text("execution.target: local\n", "utf-8")
    (tmp_path / "plugins").mkdir()

    flink = site_packages() / "pyflink"
    classpath = [*flink.glob("lib/*.jar"), *flink.glob("opt/*.jar"), *jars("flink")]
    command = [
        *java(tmp_path, 1_024),
        *(f"--add-opens=java.base/{package}=ALL-UNNAMED" for package in OPENED),
        "-cp",
        ":".join(map(str, classpath)),
        "org.apache.flink.table.client.SqlClient",
        "-hist",
        str(tmp_path / "history"),
        "-f",
        str(script),
    ]
    folders = {"FLINK_CONF_DIR": str(tmp_path / "conf"), "FLINK_PLUGINS_DIR": str(tmp_path / "plugins")}
    done = subprocess.run(
        command, env={**os.environ, **folders}, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
    )
    lines = [line for file in (tmp_path / "events").glob("part-*") for line in file.read_text("utf-8").splitlines()]
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert lines, done.stdout[-3000:] + done.stderr[-3000:]
    assert_same([present(parsed(line)) for line in lines], published.events)
