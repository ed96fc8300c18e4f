"""Fixtures for tests of sinks: one events topic for all of them."""

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Protocol

import pytest

from sternpost.local.process import Process
from tests.sinks.connect import Connect
from tests.sinks.environment import CONFIGURATIONS, PYTHON, ROOT, site_packages
from tests.sinks.published import Published, publish
from tests.support.kafka import Kafka

Configuration = Callable[..., str]


class StartPython(Protocol):
    """Starts a program of Python in the sinks' environment."""

    def __call__(self, program: Path, environment: Mapping[str, object]) -> Process: ...


@pytest.fixture(scope="session")
def published(kafka: Kafka, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Published]:
    with publish(kafka, tmp_path_factory.mktemp("published")) as published:
        yield published


@pytest.fixture
def configuration(published: Published) -> Configuration:
    """`configuration("file", {"text": "replacement"})`: a file of docs/sinks/ with the addresses of this session."""

    def read(name: str, replacements: Mapping[str, str] | None = None) -> str:
        text = (CONFIGURATIONS / name).read_text("utf-8")
        for old, new in (replacements or {}).items():
            assert old in text, f"{name} has no {old}"
            text = text.replace(old, new)
        return (
            text.replace("kafka:9092", published.kafka.bootstrap_servers)
            .replace("http://registry:8081", published.kafka.registry_url)
            .replace("http://apicurio:8080", published.kafka.registry_url.partition("/apis/")[0])
            .replace("rudderstack.events", published.topic)
        )

    return read


@pytest.fixture(scope="session")
def connect(published: Published, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Connect]:
    """Return a worker of Kafka Connect."""
    if "/apis/" not in published.kafka.registry_url:
        pytest.skip("Apicurio's converter reads schemas from Apicurio Registry alone")
    worker = Connect(published.kafka.bootstrap_servers, tmp_path_factory.mktemp("connect"))
    worker.start()
    try:
        worker.wait_ready()
        yield worker
    finally:
        worker.kill()


@pytest.fixture
def start_python(published: Published, tmp_path: Path) -> Iterator[StartPython]:
    """Start a program, told by its environment where the events are; it is stopped at the end of the test."""
    site_packages()
    started = []

    def start(program: Path, environment: Mapping[str, object]) -> Process:
        ours = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "BOOTSTRAP_SERVERS": published.kafka.bootstrap_servers,
            "REGISTRY_URL": published.kafka.registry_url,
            "EVENTS_TOPIC": published.topic,
            **{name: str(value) for name, value in environment.items()},
        }
        process = Process(program.stem, [PYTHON, program], tmp_path / f"{program.stem}.log", env=ours, cwd=tmp_path)
        started.append(process)
        process.start()
        return process

    yield start
    for process in started:
        process.kill()
