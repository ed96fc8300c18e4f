"""Three brokers and a registry, each on a host of its own, that know one another by name."""

from pathlib import Path
from typing import Any

from sternpost.local.artifacts import Cache
from sternpost.local.broker import Broker, Member, new_id
from sternpost.local.installation import install
from sternpost.local.ports import answers
from sternpost.local.registry import ApicurioRegistry
from tests.chaos.pipeline import START_S
from tests.network.hosts import Network, Peer
from tests.support.retention import CHECKED_EACH_SECOND

KAFKA_PORT, CONTROLLER_PORT, REGISTRY_PORT, MANAGEMENT_PORT = 9092, 9093, 8080, 9000

NOTICED_SOON = dict.fromkeys(("request.timeout.ms", "replica.socket.timeout.ms"), "10000")
"""Brokers give up one another's silent connections sooner than those that the tests are about: not after 30 s."""


class BrokerOnHost(Broker):
    """A broker on a host."""

    def __init__(self, host: Peer, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self.host = host
        self._command = [*host.enter, *self._command]

    def wait_ready(self) -> None:
        self.wait_until(lambda: answers(KAFKA_PORT, self.host.address), START_S)


class RegistryOnHost(ApicurioRegistry):
    """A registry on a host."""

    def __init__(self, host: Peer, **named: Any) -> None:
        super().__init__(REGISTRY_PORT, MANAGEMENT_PORT, host=host.name, **named)
        self.host = host
        self._command = [*host.enter, *self._command]

    def wait_ready(self) -> None:
        self.wait_until(self._answers, START_S)


class Cluster:
    """Brokers and registry, with their data in a folder."""

    def __init__(self, network: Network, folder: Path) -> None:
        installed = install(Cache(), registry=True)
        assert installed.registry_program is not None
        members = [Member(number, KAFKA_PORT, CONTROLLER_PORT, f"broker-{number}") for number in (1, 2, 3)]
        cluster_id = new_id()
        self.brokers = [
            BrokerOnHost(
                network.host(member.host),
                member,
                members,
                cluster_id=cluster_id,
                jars=installed.jars,
                flags=installed.kafka_flags,
                checkpoint=installed.checkpoint,
                folder=folder / member.host,
                log=folder / f"{member.host}.log",
                properties={**CHECKED_EACH_SECOND, **NOTICED_SOON},
            )
            for member in members
        ]
        self.registry = RegistryOnHost(
            network.host("registry"),
            program=installed.registry_program,
            flags=installed.registry_flags,
            folder=folder / "registry",
            log=folder / "registry.log",
        )

    @property
    def bootstrap_servers(self) -> str:
        return ",".join(broker.address for broker in self.brokers)

    @property
    def registry_url(self) -> str:
        return self.registry.url

    @property
    def processes(self) -> "list[BrokerOnHost | RegistryOnHost]":
        return [*self.brokers, self.registry]

    def start(self) -> None:
        for process in self.processes:
            process.start()
        for process in self.processes:
            process.wait_ready()

    def stop(self) -> None:
        for process in self.processes:
            process.kill()
