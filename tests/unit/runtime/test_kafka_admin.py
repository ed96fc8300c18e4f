"""Asking Kafka for metadata."""

import gc
import weakref

import pytest
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import ClusterMetadata

from runtime.errors import DependencyError
from runtime.kafka.admin import cluster_metadata
from runtime.settings.model import Settings


class Client:
    """A client whose brokers do not answer so often."""

    def __init__(self, failures: int) -> None:
        self.failures = failures

    def list_topics(self, timeout: float) -> ClusterMetadata:
        del timeout
        self.failures -= 1
        if self.failures >= 0:
            raise KafkaException(KafkaError(KafkaError._TRANSPORT))
        return ClusterMetadata()

    def poll(self, timeout: float) -> int:
        del timeout
        return 0


@pytest.mark.parametrize("failures", [1, 10_000])
def test_a_client_that_failed_is_freed_without_the_garbage_collector(failures: int) -> None:
    """With its threads and connections, before its descriptors get another use."""
    client = Client(failures)
    gone = weakref.ref(client)
    gc.disable()
    try:
        if failures == 1:
            cluster_metadata(Settings(), client)  # type: ignore[arg-type]
        else:
            with pytest.raises(DependencyError):
                cluster_metadata(Settings(), client, timeout_s=0.5)  # type: ignore[arg-type]
        del client
        assert gone() is None
    finally:
        gc.enable()
