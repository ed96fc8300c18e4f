"""Apicurio Registry, which offers the API of Confluent's schema registry under `/apis/ccompat/v7`.

https://www.apicur.io/registry/docs/
"""

import http.client
from collections.abc import Sequence
from pathlib import Path

from runtime import disk
from sternpost.local import ports
from sternpost.local.java import java
from sternpost.local.process import ROOM, Process

_HEAP_MB = 384
_START_TIMEOUT_S = 180
_API = "/apis/ccompat/v7"


class ApicurioRegistry(Process):
    """A registry process with `start`, `stop`, `kill`, `freeze` and `thaw`. Its data outlives each of them."""

    def __init__(
        self,
        port: int,
        management_port: int,
        *,
        program: Path,
        flags: Sequence[str],
        folder: Path,
        log: Path,
        host: str = ports.HOST,
    ) -> None:
        """Describe the registry; `start` starts it.

        `program` is the folder of the unpacked distribution, `folder` that of the H2 database. `flags` are for the Java
        runtime.
        """
        self.url = f"http://{host}:{port}{_API}"
        self._address = host, port
        self._folder = folder
        settings = {
            "quarkus.http.host": host,
            "quarkus.http.port": port,
            # A second port, for health and metrics, must be free as well.
            "quarkus.management.host": host,
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
            # It answers few requests, so it starts sooner with the quick compiler alone.
            *java(folder / "tmp", _HEAP_MB, ["-XX:TieredStopAtLevel=1", *flags]),
            *(f"-D{key}={value}" for key, value in settings.items()),
            "-jar",
            str(program / "quarkus-run.jar"),
        ]
        super().__init__("Apicurio Registry", command, log, cwd=folder)

    def start(self) -> None:
        """Start the registry. `wait_ready` waits until it answers.

        Raises DependencyError if its folder cannot be written.
        """
        with disk.writing(self._folder, ROOM):
            (self._folder / "tmp").mkdir(parents=True, exist_ok=True)
        super().start()

    def wait_ready(self) -> None:
        """Return once the registry answers requests. Raises DependencyError if it does not start."""
        self.wait_until(self._answers, _START_TIMEOUT_S)

    def _answers(self) -> bool:
        connection = http.client.HTTPConnection(*self._address, timeout=5)
        try:
            connection.request("GET", f"{_API}/subjects")
            return connection.getresponse().status == http.HTTPStatus.OK
        except OSError:
            return False
        finally:
            connection.close()
