"""One Kafka broker in KRaft combined mode: broker and controller in one process.

https://kafka.apache.org/documentation/#kraft
"""

import base64
import shutil
import subprocess
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from runtime import disk
from runtime.errors import DependencyError
from sternpost.local import ports
from sternpost.local.java import java
from sternpost.local.process import ROOM, Process

_HEAP_MB = 512
_START_TIMEOUT_S = 180
"""It takes a few seconds, and on a machine that does much else more than a minute. One that ends is noticed at once."""
_CHECKPOINT = Path("__cluster_metadata-0", "00000000000000000000-0000000000.checkpoint")


@dataclass(frozen=True)
class Member:
    """A broker's place in the cluster."""

    id: int
    port: int
    controller_port: int
    host: str = ports.HOST


class Broker(Process):
    """A broker process with `start`, `stop`, `kill`, `freeze` and `thaw`. Its data outlives each of them."""

    def __init__(
        self,
        member: Member,
        cluster: Sequence[Member],
        *,
        cluster_id: str,
        jars: Sequence[Path],
        flags: Sequence[str],
        checkpoint: Path,
        folder: Path,
        log: Path,
        properties: Mapping[str, str],
    ) -> None:
        """Describe the broker; `start` starts it.

        `flags` are for the Java runtime. `checkpoint` is the first snapshot of a formatted storage, made if it is
        missing. `folder` holds data and configuration. `properties` override those of `server_properties`.
        """
        classpath = ":".join(map(str, jars))
        self.id = member.id
        self.address = f"{member.host}:{member.port}"
        self._member = member
        self._folder = folder
        self._cluster_id = cluster_id
        self._checkpoint = checkpoint
        self._properties = {**server_properties(member, cluster, folder / "data"), **properties}
        self._formatter = [*java(folder / "tmp", _HEAP_MB), "-cp", classpath, "kafka.tools.StorageTool", "format"]
        self._configuration = folder / "server.properties"
        command = [*java(folder / "tmp", _HEAP_MB, flags), "-cp", classpath, *_LOGGING]
        super().__init__(f"Kafka broker {member.id}", [*command, "kafka.Kafka", str(self._configuration)], log)

    def start(self) -> None:
        """Format the storage if it is new, and start the broker. `wait_ready` waits until it answers.

        Raises DependencyError if its folder cannot be written.
        """
        with disk.writing(self._folder, ROOM):
            (self._folder / "tmp").mkdir(parents=True, exist_ok=True)
            text = "".join(f"{key}={value}\n" for key, value in self._properties.items())
            self._configuration.write_text(text, "utf-8")
            self._format()
        super().start()

    def wait_ready(self) -> None:
        """Return once the broker answers requests. Raises DependencyError if it does not start."""
        # A broker opens its port only after the controller has registered it.
        self.wait_until(lambda: ports.answers(self._member.port, self._member.host), _START_TIMEOUT_S)

    def _format(self) -> None:
        data = self._folder / "data"
        if (data / "meta.properties").exists():
            return
        if not self._checkpoint.exists():
            self._make_checkpoint()
        (data / _CHECKPOINT).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(self._checkpoint, data / _CHECKPOINT)
        (data / "meta.properties").write_text(
            f"version=1\ncluster.id={self._cluster_id}\nnode.id={self.id}\ndirectory.id={new_id()}\n", "ascii"
        )

    def _make_checkpoint(self) -> None:
        """Let Kafka format a folder and keep the snapshot of feature levels, which names neither cluster nor node."""
        scratch = self._folder / "format"
        configuration = scratch / "server.properties"
        scratch.mkdir(parents=True)
        properties = {**self._properties, "log.dirs": str(scratch / "data")}
        configuration.write_text("".join(f"{key}={value}\n" for key, value in properties.items()), "utf-8")
        command = [*self._formatter, "-t", self._cluster_id, "-c", str(configuration)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=_START_TIMEOUT_S, check=False)
        if done.returncode:
            raise DependencyError(f"Kafka's storage could not be formatted:\n{(done.stdout + done.stderr)[-2000:]}")
        new = self._checkpoint.with_suffix(f".{uuid.uuid4().hex}")
        self._checkpoint.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(scratch / "data" / _CHECKPOINT, new)
        new.replace(self._checkpoint)
        shutil.rmtree(scratch)


def new_id() -> str:
    """Return an id in Kafka's form: a random UUID in URL-safe base64 that does not begin with `-`."""
    while True:
        text = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        if not text.startswith("-"):
            return text


def server_properties(member: Member, cluster: Sequence[Member], data: Path) -> dict[str, str]:
    """Return the contents of server.properties: as in production if that can be, but quick to start."""
    replicas = min(3, len(cluster))
    in_sync = 2 if replicas == 3 else 1
    listeners = f"PLAINTEXT://{member.host}:{member.port}"
    return {
        "process.roles": "broker,controller",
        "node.id": str(member.id),
        "controller.quorum.voters": ",".join(f"{m.id}@{m.host}:{m.controller_port}" for m in cluster),
        "listeners": f"{listeners},CONTROLLER://{member.host}:{member.controller_port}",
        "advertised.listeners": listeners,
        "controller.listener.names": "CONTROLLER",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "log.dirs": str(data),
        # A missing topic is an error here, as it is in production.
        "auto.create.topics.enable": "false",
        "default.replication.factor": str(replicas),
        "min.insync.replicas": str(in_sync),
        "offsets.topic.replication.factor": str(replicas),
        "transaction.state.log.replication.factor": str(replicas),
        "transaction.state.log.min.isr": str(in_sync),
        "share.coordinator.state.topic.replication.factor": str(replicas),
        "share.coordinator.state.topic.min.isr": str(in_sync),
        # The default of 50 partitions takes seconds to create at the first use.
        "offsets.topic.num.partitions": "4",
        "transaction.state.log.num.partitions": "4",
        "share.coordinator.state.topic.num.partitions": "1",
        # Groups form at once, and tests may use short session timeouts.
        "group.initial.rebalance.delay.ms": "0",
        "group.min.session.timeout.ms": "1000",
        "group.consumer.min.session.timeout.ms": "1000",
        "group.consumer.min.heartbeat.interval.ms": "500",
        # A broker that was killed is given up, and let in again, after four seconds instead of nine.
        "broker.session.timeout.ms": "4000",
        "broker.heartbeat.interval.ms": "1000",
        # A transaction whose time is up is aborted within a second of that, instead of ten.
        "transaction.abort.timed.out.transaction.cleanup.interval.ms": "1000",
        # Small: for a laptop, and for a temporary folder in memory.
        "log.index.size.max.bytes": "1048576",
        "log.cleaner.dedupe.buffer.size": "8388608",
        "num.network.threads": "2",
        "num.io.threads": "4",
        "background.threads": "4",
    }


_LOGGING = [
    f"-Dorg.slf4j.simpleLogger.{key}={value}"
    for key, value in {
        "defaultLogLevel": "info",
        "showDateTime": "true",
        "dateTimeFormat": "yyyy-MM-dd'T'HH:mm:ss.SSSZ",
        "showThreadName": "false",
        # Both print some hundred lines of configuration at each start.
        "log.org.apache.kafka.common.config.AbstractConfig": "warn",
        "log.kafka.server.KafkaConfig": "warn",
    }.items()
]
