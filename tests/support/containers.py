"""Kafka and the registry in containers, where a Docker engine answers: the same versions as the local stack's.

The broker has the local stack's properties, given as the image takes them: `KAFKA_` and the name with underscores.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sternpost.local.broker import Member, server_properties
from tests.support.kafka import Kafka
from tests.support.ports import free_ports

KAFKA_IMAGE = "apache/kafka:4.4.0"
REGISTRY_IMAGE = "apicurio/apicurio-registry:3.3.3"
_START_TIMEOUT_S = 120


def engine_answers() -> bool:
    """Return whether a Docker engine answers; connect only if an address is known."""
    if not os.environ.get("DOCKER_HOST") and not Path("/var/run/docker.sock").exists():
        return False
    import docker  # type: ignore[import-untyped]

    try:
        client = docker.from_env(timeout=5)
    except docker.errors.DockerException:
        return False
    try:
        return bool(client.ping())
    except (docker.errors.DockerException, OSError):
        return False
    finally:
        client.close()


@contextmanager
def running() -> Iterator[Kafka]:
    """Run both containers as long as the block lasts."""
    from testcontainers.core.container import DockerContainer
    from testcontainers.core.wait_strategies import HttpWaitStrategy, LogMessageWaitStrategy

    # Clients connect to the address that the broker advertises, so its port on the host must be known beforehand.
    # Where the tests run in a container themselves, that address may not be theirs: STERNPOST_TEST_CONTAINERS=0 then.
    [port] = free_ports(1)  # Docker, too, sets SO_REUSEADDR, so that it can listen on the port that is kept for it
    kafka = DockerContainer(KAFKA_IMAGE)
    host = kafka.get_docker_client().host()
    environment = {
        "KAFKA_" + key.upper().replace(".", "_"): value for key, value in kafka_properties(host, port).items()
    }
    kafka = (
        kafka.with_envs(**environment)
        .with_bind_ports(9092, port)
        .waiting_for(LogMessageWaitStrategy("Kafka Server started").with_startup_timeout(_START_TIMEOUT_S))
    )
    registry = (
        DockerContainer(REGISTRY_IMAGE)
        .with_exposed_ports(8080)
        .waiting_for(HttpWaitStrategy(8080, "/apis/ccompat/v7/subjects").with_startup_timeout(_START_TIMEOUT_S))
    )
    with kafka, registry:
        yield Kafka(
            bootstrap_servers=f"{host}:{port}",
            registry_url=f"http://{host}:{registry.get_exposed_port(8080)}/apis/ccompat/v7",
            origin="containers",
        )


def kafka_properties(host: str, port: int) -> dict[str, str]:
    """Return the settings of the local stack's broker, with a container's listeners and data folder."""
    member = Member(id=1, port=9092, controller_port=9093)
    return {
        **server_properties(member, [member], Path("/tmp/kafka-logs")),
        "listeners": "PLAINTEXT://:9092,CONTROLLER://:9093",
        "advertised.listeners": f"PLAINTEXT://{host}:{port}",
    }
