"""The programs of the local stack: jars from the cache, prepared once so that later starts are quick.

To prepare them, each server runs once. At its end the Java runtime writes an AOT cache of the classes it has loaded and
linked (https://openjdk.org/jeps/514), with which later starts take half the time and half the CPU. The runtime ignores
a cache that does not fit (another runtime, another path) and starts as without one. The same run leaves the first
snapshot of a formatted storage, which would otherwise cost a Java start for every new broker.
"""

import hashlib
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import structlog

from sternpost.local import ports
from sternpost.local.artifacts import Artifact, Cache, pinned
from sternpost.local.broker import Broker, Member, new_id
from sternpost.local.java import java_version
from sternpost.local.registry import ApicurioRegistry

_RECORDING_TIMEOUT_S = 120

log = structlog.get_logger()


@dataclass(frozen=True)
class Installation:
    """Programs that are ready to run."""

    jars: Sequence[Path]
    """Kafka's jars in classpath order."""

    checkpoint: Path
    """The first snapshot of a formatted storage. It holds feature levels, and names neither cluster nor node."""

    kafka_flags: Sequence[str]
    registry_program: Path | None
    registry_flags: Sequence[str]

    def broker(
        self, member: Member, cluster: Sequence[Member], cluster_id: str, folder: Path, properties: dict[str, str]
    ) -> Broker:
        """Return a broker with its data in `folder`/kafka-N."""
        return Broker(
            member,
            cluster,
            cluster_id=cluster_id,
            jars=self.jars,
            flags=self.kafka_flags,
            checkpoint=self.checkpoint,
            folder=folder / f"kafka-{member.id}",
            log=folder / "logs" / f"kafka-{member.id}.log",
            properties=properties,
        )

    def registry(self, port: int, folder: Path) -> ApicurioRegistry:
        """Return a registry with its data in `folder`/registry. Raises LookupError if none is installed."""
        if self.registry_program is None:
            raise LookupError("installed without a registry")
        return ApicurioRegistry(
            port,
            ports.choose(0, "the registry's health", ""),
            program=self.registry_program,
            flags=self.registry_flags,
            folder=folder / "registry",
            log=folder / "logs" / "registry.log",
        )


def install(cache: Cache, *, registry: bool) -> Installation:
    """Fetch, unpack and prepare what is missing. Raises DependencyError."""
    artifacts = pinned()
    kafka = [artifact for artifact in artifacts if artifact.component == "kafka"]
    [distribution] = [artifact for artifact in artifacts if artifact.component == "registry"]
    fetched = cache.fetch([*kafka, distribution] if registry and not cache.has_unpacked(distribution) else kafka)
    program = cache.unpack(distribution) if registry else None

    prepared = cache.folder / "prepared"
    checkpoint = prepared / f"kafka-{_key(kafka)}.checkpoint"
    kafka_aot = prepared / f"kafka-{_key(kafka)}.aot"
    registry_aot = prepared / f"registry-{_key([distribution])}.aot" if registry else None

    def ready() -> bool:
        return checkpoint.exists() and kafka_aot.exists() and (registry_aot is None or registry_aot.exists())

    if not ready():
        with cache.locked(), cache.staging() as staging:
            if not ready():  # another process may have prepared them
                training = Installation(
                    jars=fetched[: len(kafka)],
                    checkpoint=checkpoint,
                    kafka_flags=_record(kafka_aot, staging),
                    registry_program=program,
                    registry_flags=_record(registry_aot, staging),
                )
                _prepare(training, staging)
                for aot in filter(None, (kafka_aot, registry_aot)):
                    if (staging / aot.name).exists():
                        (staging / aot.name).replace(aot)
    return Installation(fetched[: len(kafka)], checkpoint, _use(kafka_aot), program, _use(registry_aot))


def _use(aot: Path | None) -> list[str]:
    return [f"-XX:AOTCache={aot}", "-Xlog:aot=off", "-Xlog:cds=off"] if aot and aot.exists() else []


def _record(aot: Path | None, staging: Path) -> list[str]:
    return [f"-XX:AOTCacheOutput={staging / aot.name}"] if aot and not aot.exists() else []


def _prepare(installation: Installation, folder: Path) -> None:
    """Run each server whose AOT cache is missing until it answers, then stop it gracefully."""
    log.info("preparing Kafka and the registry for quick starts (once, about 20 s)")
    member = Member(1, ports.choose(0, "a broker", ""), ports.choose(0, "a controller", ""))
    servers: list[Broker | ApicurioRegistry] = []
    if installation.kafka_flags or not installation.checkpoint.exists():
        servers.append(installation.broker(member, [member], new_id(), folder, {}))
    if installation.registry_program and installation.registry_flags:
        servers.append(installation.registry(ports.choose(0, "the registry", ""), folder))
    try:
        for server in servers:
            server.start()
        for server in servers:
            server.wait_ready()
        for server in servers:
            server.terminate()
        for server in servers:
            server.await_end(_RECORDING_TIMEOUT_S)
    finally:
        for server in servers:
            server.kill()


def _key(artifacts: Sequence[Artifact]) -> str:
    """Return a key that changes with everything an AOT cache depends on."""
    text = "\n".join([java_version(), platform.machine(), *(artifact.sha256 for artifact in artifacts)])
    return f"{artifacts[0].version}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"
