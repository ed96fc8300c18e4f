"""A PostgreSQL server of this machine's binaries, with an empty database."""

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from sternpost.local import ports
from sternpost.local.process import Process

START_S = 60.0
NOBODY = 65534


class Postgres:
    """A running server."""

    def __init__(self, binaries: Path, port: int) -> None:
        self._psql = str(binaries / "psql")
        self.port = port
        self.url = f"jdbc:postgresql://{ports.HOST}:{port}/postgres"

    def execute(self, sql: str) -> None:
        """Execute a statement."""
        done = self._run(sql)
        assert done.returncode == 0, done.stderr

    def rows(self, query: str) -> list[dict[str, Any]]:
        """Return the rows of a query, as PostgreSQL writes them as JSON."""
        sql = f"SELECT row_to_json(found) FROM ({query}) AS found"
        done = self._run(sql)
        if "does not exist" in done.stderr:  # the sink makes the table
            return []
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.split("\n") if line]

    def _run(self, sql: str) -> subprocess.CompletedProcess[str]:
        address = f"host={ports.HOST} port={self.port} user=sink dbname=postgres"
        command = [self._psql, "--no-psqlrc", "--tuples-only", "--no-align", "--quiet", address]
        environment = {**os.environ, "PGTZ": "UTC", "PGCLIENTENCODING": "UTF8"}
        return subprocess.run(
            command, input=sql, capture_output=True, text=True, timeout=60, check=False, env=environment
        )


@contextmanager
def running() -> Iterator[Postgres]:
    """Run a server while the block lasts; skip the test if PostgreSQL is not installed."""
    binaries = next(
        (folder for folder in sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)),
        Path(shutil.which("initdb") or "/nowhere").parent,
    )
    if not (binaries / "initdb").exists():
        pytest.skip("PostgreSQL's server is not installed")
    # PostgreSQL refuses to run as root.
    as_user = (
        ["/usr/bin/setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"] if not os.getuid() else []
    )
    folder = Path(tempfile.mkdtemp(prefix="sternpost-postgres-"))
    try:
        if as_user:
            os.chown(folder, NOBODY, NOBODY)
        data, port = folder / "data", ports.choose(0, "PostgreSQL", "")
        initdb = [*as_user, str(binaries / "initdb"), "-D", str(data), "-U", "sink", "--auth=trust", "--no-sync"]
        subprocess.run([*initdb, "--encoding=UTF8", "--locale=C"], check=True, capture_output=True, timeout=120)
        options = {"listen_addresses": ports.HOST, "port": port, "unix_socket_directories": "", "fsync": "off"}
        server = Process(
            "PostgreSQL",
            [*as_user, binaries / "postgres", "-D", data, *(f"--{name}={value}" for name, value in options.items())],
            folder / "log",
        )
        server.start()
        try:
            server.wait_until(lambda: ports.answers(port), START_S)
            yield Postgres(binaries, port)
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder)
