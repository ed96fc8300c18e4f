"""The pipeline with every part on a host of its own, and the tests' clients on another."""

from runtime.settings.model import GroupProtocol
from tests.chaos.pipeline import Pipeline, Service
from tests.network.cluster import BrokerOnHost, Cluster, RegistryOnHost
from tests.network.hosts import Network, Peer


class Site(Pipeline):
    """Three brokers, a registry, two ingests and three processors on a network."""

    stack: Cluster

    def __init__(self, protocol: GroupProtocol) -> None:
        # Longer before clients give up (`TIMEOUT_S` of tests/chaos/load.py) than the usual second: an answer that a
        # machine with all these hosts takes a while to give is not one that waits for Kafka.
        super().__init__(3, protocol, ingests=2, settings={"STERNPOST_INGEST__PRODUCE_DEADLINE_MS": "1000"})

    def new_stack(self) -> Cluster:
        self.network = Network(self.folder)
        return Cluster(self.network, self.folder)

    def host(self, service: str) -> Peer:
        return self.network.host(service)

    @property
    def brokers(self) -> list[Peer]:
        return [self.host_of(broker) for broker in self.stack.brokers]

    def host_of(self, process: Service | BrokerOnHost | RegistryOnHost) -> Peer:
        assert isinstance(process.host, Peer)
        return process.host

    def stop(self) -> None:
        super().stop()
        self.network.stop()
