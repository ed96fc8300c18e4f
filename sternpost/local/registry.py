"""Apicurio Registry, whose `/apis/ccompat/v7` speaks the Confluent schema registry's API."""

import http.client
from collections.abc import Sequence
from pathlib import Path

from sternpost.local import ports
from sternpost.local.java import java
from sternpost.local.process import Process

_HEAP_MB = 384
_START_TIMEOUT_S = 90
_API = "/apis/ccompat/v7"


class ApicurioRegistry(Process):
    """The registry as a process: `start`, `stop`, `kill`, `freeze`, `thaw`. Its data outlives each of them."""

    def __init__(
        self, port: int, management_port: int, *, program: Path, flags: Sequence[str], folder: Path, log: Path
    ) -> None:
        """`program`: the unpacked distribution. `flags`: for the Java runtime. `folder`: for the H2 database."""
        self.url = f"http://{ports.HOST}:{port}{_API}"
        self._port = port
        self._folder = folder
        settings = {
            "quarkus.http.host": ports.HOST,
            "quarkus.http.port": port,
            # It listens on a second port, for health and metrics, which must be free as well.
            "quarkus.management.host": ports.HOST,
            "quarkus.management.port": management_port,
            "apicurio.datasource.url": f"jdbc:h2:file:{folder / 'registry'}",
            "apicurio.datasource.jdbc.initial-size": 2,
            "apicurio.datasource.jdbc.min-size": 2,
            "apicurio.datasource.jdbc.max-size": 10,
            "apicurio.import.work-dir": folder / "tmp",
            "apicurio.storage.snapshot.location": folder / "tmp",
            "quarkus.http.access-log.enabled": "false",
        }
        command = [
            # It answers a few requests and ends: the quick compiler alone starts it sooner.
            *java(folder / "tmp", _HEAP_MB, ["-XX:TieredStopAtLevel=1", *flags]),
            *(f"-D{key}={value}" for key, value in settings.items()),
            "-jar",
            str(program / "quarkus-run.jar"),
        ]
        super().__init__("Apicurio ApicurioRegistry", command, log, cwd=folder)

    def start(self) -> None:
        """Start it; `wait_ready` says when it answers."""
        (self._folder / "tmp").mkdir(parents=True, exist_ok=True)
        super().start()

    def wait_ready(self) -> None:
        """Return once it answers requests. Raises DependencyError where it does not come up."""
        self.wait_until(self._answers, _START_TIMEOUT_S)

    def _answers(self) -> bool:
        connection = http.client.HTTPConnection(ports.HOST, self._port, timeout=5)
        try:
            connection.request("GET", f"{_API}/subjects")
            return connection.getresponse().status == http.HTTPStatus.OK
        except OSError:
            return False
        finally:
            connection.close()
