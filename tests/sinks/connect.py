"""A worker of Kafka Connect, with the connectors and the converter that Maven Central has."""

import json
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import pytest

from runtime.errors import DependencyError
from sternpost.local import ports
from sternpost.local.artifacts import Artifact, Cache, pinned
from sternpost.local.process import Process
from tests.sinks.environment import java

T = TypeVar("T")

START_S = 120.0
PLUGINS = ("file", "converter", "to-json", "iceberg")
"""Components of artifacts.txt that are folders of jars."""
ARCHIVES = ("jdbc",)

ARTIFACTS = pinned(Path(__file__).with_name("artifacts.txt"))


def jars(name: str) -> list[Path]:
    """Return the files of a component; skip the test if they cannot be had."""
    return _fetched(lambda cache: cache.fetch(component(name)))


def unpacked(name: str) -> Path:
    """Return the folder of a component that is an archive; skip the test if it cannot be had."""
    [archive] = component(name)
    return _fetched(lambda cache: cache.unpack(archive))


def _fetched(fetch: Callable[[Cache], T]) -> T:
    try:
        return fetch(Cache())
    except DependencyError as error:
        if "could not be downloaded" in str(error):
            pytest.skip(str(error))
        raise


def component(name: str) -> list[Artifact]:
    """Return the artifacts of a component, without what the worker has itself."""
    own = {artifact.name for artifact in ARTIFACTS if artifact.component == "connect" != name}
    return [artifact for artifact in ARTIFACTS if artifact.component == name and artifact.name not in own]


class Connect(Process):
    """A standalone worker; connectors are added by its REST API, as with a cluster of workers."""

    def __init__(self, bootstrap_servers: str, folder: Path) -> None:
        plugins = folder / "plugins"
        for name in PLUGINS:
            _link(jars(name), plugins / name)
        for name in ARCHIVES:
            _link([unpacked(name)], plugins)
        self._url = f"http://{ports.HOST}:{(port := ports.choose(0, 'Connect', ''))}"
        worker = {
            "bootstrap.servers": bootstrap_servers,
            "listeners": f"http://{ports.HOST}:{port}",
            "plugin.path": plugins,
            "plugin.discovery": "only_scan",
            "offset.storage.file.filename": folder / "offsets",
            "offset.flush.interval.ms": 1_000,
            "key.converter": "org.apache.kafka.connect.storage.StringConverter",
            "value.converter": "org.apache.kafka.connect.storage.StringConverter",
        }
        configuration = folder / "worker.properties"
        configuration.write_text("".join(f"{name}={value}\n" for name, value in worker.items()), "utf-8")
        classpath = ":".join(map(str, jars("connect")))
        command = [*java(folder), "-cp", classpath, "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"]
        super().__init__(
            "Kafka Connect", [*command, "org.apache.kafka.connect.cli.ConnectStandalone", configuration], folder / "log"
        )

    def wait_ready(self) -> None:
        self.wait_until(self._answers, START_S)

    def add(self, connector: Mapping[str, Any]) -> None:
        """Start a connector: its JSON has `name` and `config`."""
        self._request("/connectors", connector)

    def remove(self, name: str) -> None:
        request = urllib.request.Request(f"{self._url}/connectors/{name}", method="DELETE")
        urllib.request.urlopen(request, timeout=30).close()

    def wait_for(self, name: str, done: Callable[[], bool], timeout_s: float) -> None:
        """Return once `done()` is true; fail if the connector does."""

        def checked() -> bool:
            trouble = self.trouble(name)
            assert not trouble, trouble
            return done()

        self.wait_until(checked, timeout_s)

    def trouble(self, name: str) -> str:
        """Return why a task of a connector has failed; empty if none has."""
        status = self._request(f"/connectors/{name}/status")
        return "".join(one.get("trace", "") for one in [status["connector"], *status["tasks"]])

    def _answers(self) -> bool:
        try:
            return bool(self._request("/"))
        except (OSError, AssertionError):  # a server that starts knows no path yet
            return False

    def _request(self, path: str, body: Mapping[str, Any] | None = None) -> Any:
        request = urllib.request.Request(
            self._url + path, None if body is None else json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                raise AssertionError(error.read().decode()) from None


def _link(files: Sequence[Path], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for file in files:
        (folder / file.name).symlink_to(file)
