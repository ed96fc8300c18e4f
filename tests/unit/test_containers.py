"""The containers that tests take where a Docker engine answers, as far as that can be seen without one."""

import pytest

from sternpost.local.artifacts import pinned
from tests.support import containers


def test_they_are_of_the_local_stacks_versions() -> None:
    versions = {artifact.name: artifact.version for artifact in pinned()}
    assert containers.KAFKA_IMAGE.endswith(f":{versions['kafka_2.13']}")
    assert containers.REGISTRY_IMAGE.endswith(f":{versions['apicurio-registry-app']}")


def test_clients_are_sent_to_the_port_on_the_host() -> None:
    properties = containers.kafka_properties("host", 12345)
    assert properties["advertised.listeners"] == "PLAINTEXT://host:12345"
    assert properties["controller.quorum.voters"] == "1@127.0.0.1:9093"
    assert properties["listeners"].startswith("PLAINTEXT://:9092,")


def test_no_engine_means_no_containers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:1")
    assert not containers.engine_answers()
