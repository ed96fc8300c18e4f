"""Fixtures for tests of whole services."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.kafka import WRITE_KEY, Kafka, SettingsMaker, TopicMaker
from tests.support.service import Starter


@pytest.fixture
def start(kafka: Kafka, make_topics: TopicMaker, make_settings: SettingsMaker, tmp_path: Path) -> Iterator[Starter]:
    topics = make_topics(partitions=2)
    settings = {
        "kafka": {"bootstrap_servers": kafka.bootstrap_servers},
        "schema_registry": {"url": kafka.registry_url, "auto_register": True},
        "topics": {"raw": topics.raw, "events": topics.events, "dead_letters": topics.dead_letters},
        "sources": [{"name": "test", "write_keys": [WRITE_KEY]}],
        "ingest": {"host": "127.0.0.1", "drain_delay_ms": 0},
        "processor": {"group_id": topics.raw, "instance_id": "test", "state_dir": str(tmp_path / "state")},
    }
    starter = Starter(settings, tmp_path)
    yield starter
    for service in starter.started:
        if service.process.poll() is None:
            service.process.kill()
            service.process.wait()
