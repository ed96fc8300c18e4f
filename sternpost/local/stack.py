"""Kafka and a schema registry on this machine, while a `with` block lasts."""

import contextlib
import fcntl
import json
import os
import shutil
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Self, TextIO

from runtime import disk, temporary
from runtime.errors import ConfigurationError
from sternpost.local import ports
from sternpost.local.artifacts import Cache
from sternpost.local.broker import Broker, Member, new_id
from sternpost.local.installation import install
from sternpost.local.process import ROOM
from sternpost.local.registry import ApicurioRegistry

_STOP_TIMEOUT_S = 20
_PREFIX = "sternpost-"
_YOUNG_S = 60


class LocalStack:
    """Apache Kafka (KRaft) and Apicurio Registry as child processes, from pinned artifacts.

    The children end with this process, however it ends. With a `data_dir` the data stays there for the next stack;
    without one it is in a temporary folder that is removed at the end (except its logs if the block failed).

    with LocalStack() as stack:
        stack.bootstrap_servers, stack.registry_url
        stack.brokers[0].kill()
        stack.brokers[0].start()
        stack.brokers[0].wait_ready()
    """

    def __init__(
        self,
        *,
        brokers: int = 1,
        registry: bool = True,
        data_dir: Path | None = None,
        kafka_port: int = 0,
        registry_port: int = 0,
        broker_properties: Mapping[str, str] | None = None,
        cache: Cache | None = None,
    ) -> None:
        """Describe the stack; `start` starts it.

        `kafka_port` is the port of the first broker, and the others take the following ones; 0 takes free ports.
        `broker_properties` override those in server.properties. Raises ConfigurationError if `brokers` is below 1.
        """
        if brokers < 1:
            raise ConfigurationError(f"the local stack needs at least one broker, not {brokers}")
        self.brokers: list[Broker] = []
        self.registry: ApicurioRegistry | None = None
        self._folder: Path | None = None
        self._count = brokers
        self._with_registry = registry
        self._data_dir = data_dir
        self._kafka_port = kafka_port
        self._registry_port = registry_port
        self._broker_properties = dict(broker_properties or {})
        self._cache = cache or Cache()
        self._lock: TextIO | None = None

    @property
    def bootstrap_servers(self) -> str:
        """The address `host:port` of every broker, separated by commas."""
        return ",".join(broker.address for broker in self.brokers)

    @property
    def registry_url(self) -> str:
        """The address of the Confluent-compatible API. Raises LookupError if the stack has no registry."""
        if self.registry is None:
            raise LookupError("this stack was started without a registry")
        return self.registry.url

    @property
    def folder(self) -> Path:
        """The folder of data and logs. Raises LookupError before the start."""
        if self._folder is None:
            raise LookupError("this stack was not started yet")
        return self._folder

    @property
    def processes(self) -> list[Broker | ApicurioRegistry]:
        """The brokers, and the registry if there is one."""
        return [*self.brokers, *([self.registry] if self.registry else [])]

    def start(self) -> None:
        """Start all processes and return once they answer.

        Raises DependencyError or ConfigurationError, and leaves nothing running.
        """
        try:
            self._prepare()
            for process in self.processes:
                process.start()
            for process in self.processes:
                process.wait_ready()
        except BaseException:
            self.stop(keep_logs=True)
            raise

    def stop(self, *, keep_logs: bool = False) -> None:
        """Stop all processes, and remove the data unless it has a `data_dir`. May be called twice."""
        if self._data_dir is not None:
            # All at once: a broker that stops last would wait in vain for others to take over its partitions.
            for process in self.processes:
                process.terminate()
            for process in self.processes:
                process.await_end(_STOP_TIMEOUT_S)
        for process in self.processes:
            process.kill()
        if self._lock:
            self._lock.close()
            self._lock = None
        if self._folder and self._folder.exists() and self._data_dir is None:
            for entry in self._folder.iterdir():
                if entry.name != "logs" or not keep_logs:
                    shutil.rmtree(entry, ignore_errors=True) if entry.is_dir() else entry.unlink(missing_ok=True)
            with contextlib.suppress(OSError):
                self._folder.rmdir()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, _: object, error: object, __: object) -> None:
        self.stop(keep_logs=isinstance(error, Exception))

    def _prepare(self) -> None:
        members = self._members()
        registry_port = ports.choose(self._registry_port, "the registry", "--registry-port")
        installation = install(self._cache, registry=self._with_registry)
        folder = self._folder = self._open_folder()
        cluster_id = self._cluster_id(folder)
        self.brokers = [
            installation.broker(member, members, cluster_id, folder, self._broker_properties) for member in members
        ]
        self.registry = installation.registry(registry_port, folder) if self._with_registry else None

    def _members(self) -> list[Member]:
        return [
            Member(
                id=n + 1,
                port=ports.choose(self._kafka_port and self._kafka_port + n, f"broker {n + 1}", "--kafka-port"),
                controller_port=ports.choose(0, f"controller {n + 1}", ""),
            )
            for n in range(self._count)
        ]

    def _open_folder(self) -> Path:
        if self._data_dir is None:
            folder = Path(temporary.lasting_folder(_PREFIX))
            _remove_left_behind()
        else:
            folder = self._data_dir.absolute()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = (folder / "lock").open("w")
        except OSError as error:
            raise ConfigurationError(
                f"the data folder {folder} cannot be written ({error.strerror}): choose another with --data-dir"
            ) from error
        if not _lock(self._lock):
            raise ConfigurationError(
                f"the data folder {folder} is in use by another local stack: stop that one, or choose another folder "
                "with --data-dir"
            )
        return folder

    def _cluster_id(self, folder: Path) -> str:
        """Return the cluster id of the data in `folder`, or a new one.

        Raises ConfigurationError if the data is that of another number of brokers, and DependencyError if the id
        cannot be kept.
        """
        file = folder / "cluster.json"
        if file.exists():
            cluster = json.loads(file.read_text("utf-8"))
            if cluster["brokers"] != self._count:
                raise ConfigurationError(
                    f"the data in {folder} belongs to a cluster of {cluster['brokers']}: start it with "
                    f"--brokers {cluster['brokers']}, or choose another folder with --data-dir"
                )
            return str(cluster["cluster_id"])
        cluster_id = new_id()
        with disk.writing(file, ROOM):
            file.write_text(json.dumps({"cluster_id": cluster_id, "brokers": self._count}), "utf-8")
        return cluster_id


def _remove_left_behind() -> None:
    """Remove the temporary folders of killed stacks: those that are ours, unlocked, and not being made just now."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError):
            status = folder.stat()
            if status.st_uid != os.getuid() or time.time() - status.st_mtime < _YOUNG_S:
                continue
            with (folder / "lock").open("r+") as lock:  # a folder with only logs has none
                if _lock(lock):
                    shutil.rmtree(folder, ignore_errors=True)


def _lock(file: TextIO) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
