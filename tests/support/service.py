"""Either service on known ports, for tests that cannot rely on its log."""

import contextlib
import json
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sternpost.local import ports
from tests.support.kafka import WRITE_KEY
from tests.support.waiting import PATIENCE_S, until

PROGRAM = str(Path(sys.executable).with_name("sternpost"))
DROPPED = "sternpost_log_lines_dropped_total"
SERVICES = ["ingest", "process"]


class Service:
    """One of the two services, with two workers, on known ports."""

    def __init__(
        self, name: str, settings: "dict[str, Any]", folder: Path, command: tuple[str, ...] = (), **popen: Any
    ) -> None:
        self.name = name
        self.port, self.admin_port = ports.choose(0, "", ""), ports.choose(0, "", "")
        sections = {
            **settings,
            "ingest": {**settings["ingest"], "port": self.port, "admin_port": self.admin_port, "workers": 2},
            "processor": {**settings["processor"], "admin_port": self.admin_port, "workers": 2},
        }
        assignments = [
            f"--set={key}={value if isinstance(value, str) else json.dumps(value)}" for key, value in _flat(sections)
        ]
        self.process = subprocess.Popen([*command, PROGRAM, *assignments, name], cwd=folder, **popen)

    def get(self, path: str) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.admin_port}{path}", timeout=PATIENCE_S) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def ready(self) -> bool:
        assert self.process.poll() is None, f"{self.name} ended with {self.process.returncode}"
        with contextlib.suppress(OSError):
            return self.get("/readyz")[0] == 200
        return False

    def dropped(self) -> float:
        lines = [line for line in self.get("/metrics")[1].splitlines() if line.startswith(DROPPED + " ")]
        return float(lines[0].split()[1]) if lines else 0

    def works(self) -> None:
        until(self.ready)
        if self.name == "ingest":
            for _ in range(8):  # both workers
                url = f"http://127.0.0.1:{self.port}/v1/webhook?writeKey={WRITE_KEY}"
                with urllib.request.urlopen(url, b"{}", timeout=PATIENCE_S) as answer:
                    assert answer.status == 200

    def end(self) -> int:
        self.process.terminate()
        return self.process.wait(PATIENCE_S)


def _flat(sections: "dict[str, Any]") -> Iterator[tuple[str, Any]]:
    for section, values in sections.items():
        if isinstance(values, dict):
            yield from ((f"{section}.{name}", value) for name, value in values.items())
        else:
            yield section, values


class Starter:
    def __init__(self, settings: "dict[str, Any]", folder: Path) -> None:
        self._settings, self._folder = settings, folder
        self.started: list[Service] = []

    @property
    def topics(self) -> dict[str, str]:
        """The names of the topics, by setting."""
        topics: dict[str, str] = self._settings["topics"]
        return topics

    def __call__(self, name: str, *command: str, **popen: Any) -> Service:
        self.started.append(Service(name, self._settings, self._folder, command, **popen))
        return self.started[-1]
