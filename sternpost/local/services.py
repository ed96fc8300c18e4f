"""The whole pipeline on this machine: Kafka and the registry, topics and schema, ingest and the processor.

Both services run as in production, as `sternpost ingest` and `sternpost process`. Their settings are in the
environment, and their logs are files.
"""

import contextlib
import os
import secrets
import signal
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import FrameType
from typing import Any, Self

import orjson
import structlog
from pydantic import BaseModel, SecretStr

from runtime import temporary
from runtime.errors import ConfigurationError
from runtime.settings import loader
from runtime.settings.model import PREFIX, Settings
from sternpost.local import ports
from sternpost.local.process import Process
from sternpost.local.stack import LocalStack
from sternpost.operations import schema, topics
from sternpost.operations.changes_allowed import ChangesAllowed
from sternpost.operations.listening_address import base_url
from sternpost.operations.status import service

_READY_TIMEOUT_S = 180
_STOP_TIMEOUT_S = 90

log = structlog.get_logger()


class Services:
    """Ingest and the processor as child processes, on a running cluster."""

    def __init__(self, settings: Settings, logs: Path) -> None:
        """Describe the services; `start` starts them.

        `settings` are those of the services, in which no port may be 0. `logs` is the folder for their output.
        """
        self.settings = settings
        self.stack: LocalStack | None = None
        """The cluster, if it was started with the services."""
        self.logs = logs
        self.source_made_up: str | None = None
        """The sources as JSON, with their keys, if none was configured and one was made up."""
        environment = environment_for(settings)
        self._ingest = _service("ingest", environment, logs)
        self._processor = _service("process", environment, logs)

    @property
    def url(self) -> str:
        """The address of the webhook endpoint, without `?writeKey=…`."""
        return f"{base_url(self.settings.ingest.host, self.settings.ingest.port)}/v1/webhook"

    @property
    def processes(self) -> list[Process]:
        """All child processes, including Kafka and the registry."""
        return [*(self.stack.processes if self.stack else []), self._ingest, self._processor]

    def start(self) -> None:
        """Create the topics, register the schema, start both services, and return once they are ready.

        Raises DependencyError or CheckFailedError, and leaves nothing running.
        """
        topics.create(self.settings, ChangesAllowed())
        schema.register(self.settings, ChangesAllowed())
        try:
            self._ingest.start()
            self._processor.start()
            _await_ready(self._ingest, self.settings.ingest.admin_host, self.settings.ingest.admin_port)
            _await_ready(self._processor, self.settings.processor.admin_host, self.settings.processor.admin_port)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop both services gracefully. May be called twice."""
        for process in (self._ingest, self._processor):
            process.terminate()
        for process in (self._ingest, self._processor):
            process.await_end(_STOP_TIMEOUT_S)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


@contextlib.contextmanager
def running(
    settings: Settings,
    *,
    own_cluster: bool = False,
    brokers: int = 1,
    data_dir: Path | None = None,
    kafka_port: int = 0,
    registry_port: int = 0,
    free_ports: bool = True,
) -> Iterator[Services]:
    """Run the pipeline while the block lasts. SIGTERM, SIGHUP and Ctrl-C end the block.

    With `own_cluster`, use the Kafka and the registry that `settings` name instead of starting them. `data_dir` keeps
    the data; without it, the data is removed. With `free_ports`, the services get free ports instead of those in
    `settings`. If `settings` have no sources, one is made up with random keys. `Services.settings` are those in force.
    """
    made_up = not settings.sources
    settings = _with_ports_and_source(settings, free_ports=free_ports)
    cluster = None
    with ended_by_signals(), contextlib.ExitStack() as stack:
        if own_cluster:
            folder = data_dir or Path(stack.enter_context(temporary.folder("sternpost-")))
        else:
            log.info("starting Kafka and the schema registry", brokers=brokers)
            cluster = stack.enter_context(
                LocalStack(brokers=brokers, data_dir=data_dir, kafka_port=kafka_port, registry_port=registry_port)
            )
            folder = cluster.folder
            settings = _on(settings, cluster, brokers)
        services = Services(_changed(settings, {"processor": {"state_dir": folder / "state"}}), folder / "logs")
        services.stack = cluster
        services.source_made_up = _json(_revealed(settings.sources)) if made_up else None
        log.info("starting ingest and the processor", logs=str(folder / "logs"))
        yield stack.enter_context(services)


@contextlib.contextmanager
def ended_by_signals() -> Iterator[None]:
    """Let SIGTERM and SIGHUP raise SystemExit, as Ctrl-C raises KeyboardInterrupt, so that `with` blocks clean up."""
    if threading.current_thread() is not threading.main_thread():
        yield  # signals can only be handled in the main thread
        return

    def end(number: int, _: FrameType | None) -> None:
        sys.exit(128 + number)

    before = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def require_own_registry(*, kafka_given: bool, registry_given: bool) -> None:
    """Raise ConfigurationError if the settings name a Kafka cluster to use, but no registry."""
    if kafka_given and not registry_given:
        raise ConfigurationError(
            "kafka.bootstrap_servers names a cluster, so neither Kafka nor a schema registry is started here: "
            f"set {loader.variable('schema_registry.url')} as well"
        )


def environment_for(settings: Settings) -> dict[str, str]:
    """Return our environment with all of `settings`, for child processes only: secrets are not masked."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    ours: dict[str, str] = {}
    for section, value in _revealed(settings).items():
        named = {f"{section}.{name}": inner for name, inner in value.items()} if isinstance(value, dict) else None
        for name, inner in (named if named is not None else {section: value}).items():
            if inner is not None:
                ours[loader.variable(name)] = str(inner) if isinstance(inner, str) else _json(inner)
    return {**inherited, **ours}


def _with_ports_and_source(settings: Settings, *, free_ports: bool) -> Settings:
    """Return settings with free ports and a source. Raises ConfigurationError if a wanted port is in use."""

    def port(wanted: int, what: str, setting: str) -> int:
        return ports.choose(0 if free_ports else wanted, what, f"--set {setting}=…")

    changes: dict[str, Any] = {
        "ingest": {
            "port": port(settings.ingest.port, "ingest", "ingest.port"),
            "admin_port": port(settings.ingest.admin_port, "ingest's admin listener", "ingest.admin_port"),
            "drain_delay_ms": 0,  # there is no load balancer that must notice
        },
        "processor": {
            "admin_port": port(settings.processor.admin_port, "the processor's admin listener", "processor.admin_port"),
        },
    }
    if not settings.sources:
        keys = {"write_keys": [secrets.token_hex(16)], "signing_keys": [secrets.token_hex(16)]}
        changes["sources"] = [{"name": "local", **keys}]
    return _changed(settings, changes)


def _on(settings: Settings, cluster: LocalStack, brokers: int) -> Settings:
    replicas = min(3, brokers)
    return _changed(
        settings,
        {
            "kafka": {"bootstrap_servers": cluster.bootstrap_servers, "properties": {}},
            "schema_registry": {"url": cluster.registry_url, "basic_auth": None, "ca_file": None},
            "topics": {"replication_factor": replicas, "min_insync_replicas": 2 if replicas == 3 else 1},
        },
    )


def _changed(settings: Settings, changes: Mapping[str, Any]) -> Settings:
    values = {name: getattr(settings, name) for name in Settings.model_fields}
    for name, change in changes.items():
        if isinstance(values[name], BaseModel):
            section = values[name]
            current = {field: getattr(section, field) for field in type(section).model_fields}
            values[name] = type(section).model_validate({**current, **change})
        else:
            values[name] = change
    return Settings.model_validate(values)


def _service(command: str, environment: Mapping[str, str], logs: Path) -> Process:
    return Process(
        f"sternpost {command}",
        [sys.executable, "-c", "from sternpost.cli.main import main; main()", command],
        logs / f"{command}.log",
        env=environment,
        orphan_signal=signal.SIGTERM,  # it ends its own workers, and kills them if they take too long
    )


def _await_ready(process: Process, host: str, port: int) -> None:
    reason = ""

    def ready() -> bool:
        nonlocal reason
        said = service.fetch_status(process.name, host, port)
        reason = said.reason
        return said.ready

    process.wait_until(ready, _READY_TIMEOUT_S, lambda: reason)


def _revealed(value: Any) -> Any:
    """Return a value as JSON has it, with secrets in clear."""
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if isinstance(value, BaseModel):
        return {name: _revealed(getattr(value, name)) for name in type(value).model_fields}
    if isinstance(value, list):
        return [_revealed(item) for item in value]
    if isinstance(value, Path):
        return str(value)
    return value


def _json(value: object) -> str:
    return orjson.dumps(value).decode()
