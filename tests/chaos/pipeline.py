"""Everything that runs: three brokers, a registry, ingests and processors, each of which can be hurt."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol, Self

from runtime.settings.model import GroupProtocol
from sternpost.local import LocalStack, ports
from sternpost.local.broker import Broker
from sternpost.local.process import Process
from sternpost.local.registry import ApicurioRegistry
from tests.support.groups import set_session_timeout
from tests.support.kafka import WRITE_KEY
from tests.support.retention import CHECKED_EACH_SECOND

STERNPOST = Path(sys.executable).with_name("sternpost")
START_S = 240.0
"""Longest start, on a machine that does much else; a worker may first wait for a session or a transaction to end."""

SESSION_S, TRANSACTION_S = 10, 6
"""Short, so that a test need not wait long for what happens when they end."""

SHUTDOWN_S = 60
"""For a service to stop in good order, on a busy machine and beside a slow disk; then it kills its workers."""

PARTITIONS = 6


class Cluster(Protocol):
    """Brokers and a registry, such as those of a LocalStack."""

    def start(self) -> None: ...

    def stop(self) -> None: ...

    @property
    def brokers(self) -> Sequence[Broker]: ...

    @property
    def registry(self) -> ApicurioRegistry | None: ...

    @property
    def bootstrap_servers(self) -> str: ...

    @property
    def registry_url(self) -> str: ...


class Host:
    """What a service runs on: this machine."""

    address = ports.HOST

    @property
    def enter(self) -> list[str]:
        """What a command begins with to run there."""
        return []


class Service(Process):
    """`sternpost ingest` or `sternpost process`, with its workers."""

    def __init__(self, name: str, command: str, env: Mapping[str, str], folder: Path, host: Host | None = None) -> None:
        self.host = host or Host()
        self.admin_port = ports.choose(0, name, "")
        section = "INGEST" if command == "ingest" else "PROCESSOR"
        ours = {
            f"STERNPOST_{section}__ADMIN_HOST": self.host.address,
            f"STERNPOST_{section}__ADMIN_PORT": str(self.admin_port),
            "STERNPOST_LOG__FORMAT": "json",
            "PYTHONFAULTHANDLER": "1",
        }
        run = [*self.host.enter, str(STERNPOST), command]
        super().__init__(name, run, folder / f"{name}.log", env={**os.environ, **env, **ours})

    def ready(self) -> bool:
        return self.unreadiness() is None

    def unreadiness(self) -> str | None:
        """Return None if it is ready, else what it waits for."""
        try:
            with urllib.request.urlopen(f"http://{self.host.address}:{self.admin_port}/readyz", timeout=2):
                return None
        except urllib.error.HTTPError as error:
            return error.read().decode()
        except OSError as error:
            return str(error)

    def wait_ready(self) -> None:
        self.wait_until(self.ready, START_S, lambda: self.unreadiness() or "")

    def signal_all(self, number: signal.Signals) -> None:
        """To its workers too, as where a whole machine stands still."""
        if self.pid is not None:
            os.killpg(self.pid, number)


class Pipeline:
    """As it would run in production, with an orchestrator that starts again what ended by itself."""

    def __init__(
        self,
        processors: int,
        protocol: GroupProtocol,
        ingests: int = 1,
        *,
        settings: Mapping[str, str] | None = None,
        broker_properties: Mapping[str, str] = CHECKED_EACH_SECOND,
    ) -> None:
        """`settings` are environment variables, laid over those of all services and commands."""
        self.folder = Path(tempfile.mkdtemp(prefix="sternpost-chaos-"))
        self.broker_properties = broker_properties
        self.stack = self.new_stack()
        self._settings = settings or {}
        self.protocol = protocol
        self.ingests: list[Service] = []
        self.processors: list[Service] = []
        self.endpoints: list[tuple[str, int]] = []
        """Address and port of each ingest."""
        self.restarts: list[str] = []
        """What the orchestrator had to start again, with the exit code."""
        self._counts = ingests, processors
        self._kept: set[Service] = set()
        self._lock = threading.RLock()
        self._closing = threading.Event()
        self._orchestrator = threading.Thread(target=self._orchestrate, daemon=True)

    def __enter__(self) -> Self:
        ingests, processors = self._counts
        try:
            self.stack.start()
            self.env = {
                "STERNPOST_KAFKA__BOOTSTRAP_SERVERS": self.stack.bootstrap_servers,
                "STERNPOST_SCHEMA_REGISTRY__URL": self.stack.registry_url,
                "STERNPOST_TOPICS__PARTITIONS": str(PARTITIONS),
                "STERNPOST_SOURCES": f'[{{"name": "chaos", "write_keys": ["{WRITE_KEY}"]}}]',
                "STERNPOST_INGEST__DRAIN_DELAY_MS": "0",
                "STERNPOST_PROCESSOR__GROUP_PROTOCOL": self.protocol,
                "STERNPOST_PROCESSOR__TRANSACTION_TIMEOUT_MS": str(TRANSACTION_S * 1000),
                "STERNPOST_PROCESSOR__SHUTDOWN_TIMEOUT_MS": str(SHUTDOWN_S * 1000),
            }
            if self.protocol is GroupProtocol.CLASSIC:
                self.env["STERNPOST_PROCESSOR__SESSION_TIMEOUT_MS"] = str(SESSION_S * 1000)
            else:
                set_session_timeout(self.stack.bootstrap_servers, "sternpost", SESSION_S * 1000)
            self.env |= self._settings
            self.prepare()
            self.ingests = [self._new_ingest(number) for number in range(ingests)]
            self.processors = [self.new_processor(number) for number in range(processors)]
            for service in (*self.ingests, *self.processors):
                self.start(service)
            for service in (*self.ingests, *self.processors):
                service.wait_ready()
            self._orchestrator.start()
        except BaseException:
            self.stop()
            raise
        return self

    def prepare(self) -> None:
        """Make the topics, and register the schema."""
        for command in (["topics", "create"], ["schema", "register"]):
            subprocess.run([STERNPOST, *command], env={**os.environ, **self.env}, check=True, capture_output=True)

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is not None:
            self.dump_stacks()
        self.stop()
        if kind is None:
            shutil.rmtree(self.folder, ignore_errors=True)

    def new_stack(self) -> Cluster:
        """Describe brokers and registry."""
        return LocalStack(brokers=3, broker_properties=self.broker_properties)

    def host(self, service: str) -> Host:
        """Return what the service of that name runs on."""
        del service
        return Host()

    def _new_ingest(self, number: int) -> Service:
        name = f"ingest-{number}"
        host, port = self.host(name), ports.choose(0, name, "")
        self.endpoints.append((host.address, port))
        own = {"STERNPOST_INGEST__HOST": host.address, "STERNPOST_INGEST__PORT": str(port)}
        return Service(name, "ingest", {**self.env, **own}, self.log_dir(name), host)

    def new_processor(self, number: int) -> Service:
        name = f"processor-{number}"
        own = {
            "STERNPOST_PROCESSOR__INSTANCE_ID": name,
            "STERNPOST_PROCESSOR__STATE_DIR": str(self.state_dir(name)),
        }
        self.state_dir(name).mkdir(exist_ok=True)
        return Service(name, "process", {**self.env, **own}, self.log_dir(name), self.host(name))

    def state_dir(self, name: str) -> Path:
        return self.folder / f"state-{name}"

    def log_dir(self, name: str) -> Path:
        """Return the folder of the log of the service of that name."""
        del name
        return self.folder

    def start(self, service: Service) -> None:
        """From now on the orchestrator keeps it going."""
        with self._lock:
            service.start()
            self._kept.add(service)

    def await_ready(self, service: Service) -> None:
        """Ready, however often it ended by itself and was started again until then.

        Raises DependencyError, with what it waits for and the end of its log.
        """
        deadline = time.monotonic() + START_S
        while (waits_for := service.unreadiness()) is not None:
            if time.monotonic() > deadline:
                raise service.failure(f"was not ready within {START_S:.0f} s ({waits_for})")
            time.sleep(0.1)

    def stop_service(self, service: Service) -> None:
        """In good order, and not to be started again. Raises AssertionError where it ends any other way."""
        with self._lock:
            self._kept.discard(service)
        service.signal_all(signal.SIGCONT)
        service.stop(2 * SHUTDOWN_S)
        assert service.exit_code == 0, f"{service.name} ended with {service.exit_code}: {service.output()[-3000:]}"

    def give_up(self, service: Service) -> None:
        """Kill it, if it runs, and do not start it again."""
        with self._lock:
            self._kept.discard(service)
        service.kill()

    def stop(self) -> None:
        self._closing.set()
        if self._orchestrator.ident is not None:
            self._orchestrator.join()
        for service in (*self.ingests, *self.processors):
            service.signal_all(signal.SIGCONT)
            service.kill()
        self.stack.stop()

    def dump_stacks(self) -> None:
        """Has every service write to its log what each of its threads is doing, and end."""
        with self._lock:
            for service in self._kept:
                service.signal_all(signal.SIGABRT)
            self._kept.clear()

    def _orchestrate(self) -> None:
        """Looks every half second, as an orchestrator would: what ended is started again."""
        while not self._closing.wait(0.5):
            with self._lock:
                for service in self._kept:
                    if service.pid is None:
                        self.restarts.append(f"{service.name}: {service.exit_code}")
                        service.start()
