"""Kafka and a registry to measure on, and the programs that are measured."""

import contextlib
import os
import shutil
import signal
import sys
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runtime.settings.model import Settings
from sternpost.local import LocalStack
from sternpost.local.process import Process
from sternpost.local.services import environment_for
from sternpost.operations import schema, topics
from sternpost.operations.changes_allowed import ChangesAllowed

WRITE_KEY, SIGNING_KEY = "bench-write-key", "bench-signing-key"

OURS = "sternpost"


@dataclass(frozen=True)
class Cluster:
    """The addresses of Kafka and of a schema registry."""

    bootstrap_servers: str
    registry_url: str


@contextlib.contextmanager
def running(bootstrap_servers: str | None, registry_url: str | None) -> Iterator[Cluster]:
    """Provide the given cluster, or one on this machine while the block lasts."""
    if bootstrap_servers and registry_url:
        yield Cluster(bootstrap_servers, registry_url)
        return
    with LocalStack() as stack:
        yield Cluster(stack.bootstrap_servers, stack.registry_url)


@dataclass(frozen=True)
class Place:
    """Topics, a group and a folder that nothing has used yet."""

    settings: Settings
    folder: Path

    def process(self, name: str, command: str | None, *, service: str, environment: Mapping[str, str]) -> Process:
        """Return a program to measure: our service, or a peer's shell command with `environment`."""
        log = self.folder / f"{name}.log"
        if command is None:
            ours = [sys.executable, "-c", "from sternpost.cli.main import main; main()", service]
            # SIGTERM, so that the service ends its own workers.
            env = environment_for(self.settings)
            return Process(name, ours, log, env=env, cwd=self.folder, orphan_signal=signal.SIGTERM)
        return Process(name, ["/bin/sh", "-c", command], log, env={**os.environ, **environment}, cwd=self.folder)


@contextlib.contextmanager
def fresh(cluster: Cluster, partitions: int = 4, **sections: Mapping[str, Any]) -> Iterator[Place]:
    """Provide a place with topics and the registered schema, and remove them at the end.

    `sections` are settings that differ from the defaults, e.g. `processor={"workers": 2}`.
    """
    name = f"bench-{uuid.uuid4().hex[:12]}"
    folder = Path(tempfile.mkdtemp(prefix=f"{name}-"))
    values: dict[str, Any] = {
        "kafka": {"bootstrap_servers": cluster.bootstrap_servers},
        "schema_registry": {"url": cluster.registry_url},
        "topics": {
            "raw": f"{name}.raw",
            "events": f"{name}.events",
            "dead_letters": f"{name}.dead-letters",
            "partitions": partitions,
            "replication_factor": 1,
            "min_insync_replicas": 1,
        },
        "sources": [{"name": "bench", "write_keys": [WRITE_KEY], "signing_keys": [SIGNING_KEY]}],
        "ingest": {"host": "127.0.0.1", "admin_port": 0, "drain_delay_ms": 0},
        "processor": {"group_id": name, "instance_id": "bench", "state_dir": folder / "state", "admin_port": 0},
    }
    for section, changes in sections.items():
        values[section] = {**values.get(section, {}), **changes}
    settings = Settings.model_validate(values)
    topics.create(settings, ChangesAllowed())
    schema.register(settings, ChangesAllowed())
    try:
        yield Place(settings, folder)
    finally:
        topics.remove(settings, ChangesAllowed())
        shutil.rmtree(folder, ignore_errors=True)
