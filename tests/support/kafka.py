"""The Kafka and schema registry that the tests run against, and names on it that no other test uses.

Where they come from, in this order:
1. `STERNPOST_TEST_BOOTSTRAP_SERVERS`, with `STERNPOST_TEST_REGISTRY_URL`: a cluster that is there already;
2. containers, where a Docker engine answers (not with `STERNPOST_TEST_CONTAINERS=0`);
3. the local stack.
"""

import os
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from confluent_kafka import KafkaError, Producer
from confluent_kafka.admin import AdminClient, NewTopic

from runtime.settings.model import Settings, TopicSettings
from sternpost.local import LocalStack
from tests.support.waiting import PATIENCE_S, until

WRITE_KEY = "test-write-key"
SIGNING_KEY = "test-signing-key"
STOP_MS = 60_000
"""How long services may take to end in good order, longer than in production: tests want their exit code 0."""
REGISTRY_MS = 30_000
"""How long the registry may take to answer, longer than in production."""


@dataclass(frozen=True)
class Kafka:
    """Where to find what the session's tests share."""

    bootstrap_servers: str
    registry_url: str
    origin: str
    """`given`, `containers` or `local stack`."""


@contextmanager
def running() -> Iterator[Kafka]:
    """The cluster for a session of tests, ended with it where we started it."""
    if given := os.environ.get("STERNPOST_TEST_BOOTSTRAP_SERVERS"):
        url = os.environ.get("STERNPOST_TEST_REGISTRY_URL")
        if not url:
            raise RuntimeError(
                "STERNPOST_TEST_BOOTSTRAP_SERVERS is set, STERNPOST_TEST_REGISTRY_URL is not: set it as well, "
                "e.g. to http://127.0.0.1:8085/apis/ccompat/v7"
            )
        yield Kafka(given, url, "given")
    elif os.environ.get("STERNPOST_TEST_CONTAINERS") != "0" and (containers := _containers()) is not None:
        with containers as kafka:
            yield kafka
    else:
        with LocalStack() as stack:
            yield Kafka(stack.bootstrap_servers, stack.registry_url, "local stack")


@dataclass
class TopicMaker:
    """Makes topics with names of their own, and removes them at the end of the test."""

    kafka: Kafka
    _made: list[str] = field(default_factory=list)

    def __call__(self, partitions: int = 4, config: Mapping[str, str] | None = None) -> TopicSettings:
        """The three topics of one pipeline, as the settings' section that names them."""
        prefix = f"test-{uuid.uuid4().hex[:12]}"
        topics = TopicSettings(
            raw=f"{prefix}.raw",
            events=f"{prefix}.events",
            dead_letters=f"{prefix}.dead-letters",
            partitions=partitions,
            replication_factor=1,
            min_insync_replicas=1,
        )
        self.create([topics.raw, topics.events, topics.dead_letters], partitions, config)
        return topics

    def one(self, partitions: int = 1, config: Mapping[str, str] | None = None) -> str:
        """A single topic's name."""
        name = f"test-{uuid.uuid4().hex[:12]}"
        self.create([name], partitions, config)
        return name

    def create(self, names: list[str], partitions: int, config: Mapping[str, str] | None = None) -> None:
        """Topics of the given names, with room for the largest records that the default settings allow."""
        self._made += names
        topics = [
            NewTopic(name, partitions, config={"max.message.bytes": "16777216", **(config or {})}) for name in names
        ]
        create_topics(self.kafka.bootstrap_servers, topics)

    def remove(self) -> None:
        """Remove what was made."""
        if self._made:
            admin = AdminClient({"bootstrap.servers": self.kafka.bootstrap_servers})
            for gone in admin.delete_topics(self._made, operation_timeout=20).values():
                gone.exception(PATIENCE_S)  # a test may have removed it itself
            self._made.clear()


@dataclass(frozen=True)
class SettingsMaker:
    """Makes settings for topics: free ports, a group and a state folder of their own, one source named `test`."""

    kafka: Kafka
    folder: Path

    def __call__(self, topics: TopicSettings, **sections: Mapping[str, Any]) -> Settings:
        """`sections`: overrides by section, e.g. `processor={"workers": 2}`."""
        name = topics.raw.removesuffix(".raw")
        defaults: dict[str, Any] = {
            "kafka": {"bootstrap_servers": self.kafka.bootstrap_servers},
            "schema_registry": {"url": self.kafka.registry_url, "timeout_ms": REGISTRY_MS},
            "topics": topics.model_dump(),
            "sources": [{"name": "test", "write_keys": [WRITE_KEY], "signing_keys": [SIGNING_KEY]}],
            "ingest": {
                "host": "127.0.0.1",
                "port": 0,
                "admin_port": 0,
                "drain_delay_ms": 0,
                "drain_timeout_ms": STOP_MS,
            },
            "processor": {
                "group_id": name,
                "instance_id": "test",
                "state_dir": self.folder / "state",
                "admin_port": 0,
                "shutdown_timeout_ms": STOP_MS,
            },
        }
        for section, values in sections.items():
            defaults[section] = {**defaults[section], **values} if section in defaults else values
        return Settings.model_validate(defaults)


def idempotent_producer(bootstrap_servers: str, properties: Mapping[str, Any] | None = None) -> Producer:
    """Return a producer whose records are in each partition in the order that they were sent in, and once.

    Others write a batch that brokers refused for a moment after the one behind it.
    """
    return Producer({"bootstrap.servers": bootstrap_servers, "enable.idempotence": True, **(properties or {})})


def create_topics(bootstrap_servers: str, topics: list[NewTopic]) -> None:
    """Create topics, and return once each of these brokers has heard of them.

    The controller answers when it has decided; the brokers, which clients ask, hear of it a little later.
    """
    admin = AdminClient({"bootstrap.servers": bootstrap_servers})
    for made in admin.create_topics(topics, operation_timeout=60).values():
        error = made.exception(PATIENCE_S)
        # A client asks again if the answer does not come in time.
        if error is not None and error.args[:1] != (KafkaError.TOPIC_ALREADY_EXISTS,):
            raise error
    for address in bootstrap_servers.split(","):
        # A client that knows one address asks that broker first, and has no reason to connect to another.
        asked = AdminClient({"bootstrap.servers": address})
        until(partial(_has_leaders, asked, topics))


def _has_leaders(admin: AdminClient, topics: list[NewTopic]) -> bool:
    for wanted in topics:
        found = admin.list_topics(wanted.topic, timeout=PATIENCE_S).topics[wanted.topic].partitions
        if len(found) != wanted.num_partitions or any(partition.leader < 0 for partition in found.values()):
            return False
    return True


def _containers() -> Any:
    """Kafka and the registry in containers, as a context manager; None where no Docker engine answers."""
    from tests.support import containers

    return containers.running() if containers.engine_answers() else None
