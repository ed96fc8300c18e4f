"""A registry that has something else under the events' subject: one clear error, and no crash in a circle."""

import subprocess
import sys
from pathlib import Path

from runtime.schema_registry import Registry, subject_of
from sternpost.local_stack.services import environment_for
from tests.kafka import Kafka, SettingsMaker, TopicMaker

ANOTHER = {"type": "record", "name": "Another", "fields": [{"name": "a", "type": "string"}]}


def test_a_refused_schema_ends_the_processor(
    kafka: Kafka, make_topics: TopicMaker, make_settings: SettingsMaker, tmp_path: Path
) -> None:
    topics = make_topics()
    settings = make_settings(topics, schema_registry={"url": kafka.registry_url, "auto_register": True})
    with Registry(settings.schema_registry) as registry:
        registry.register(subject_of(topics.events), ANOTHER)
    ended = subprocess.run(
        [Path(sys.executable).with_name("sternpost"), "process"],
        env=environment_for(settings),
        cwd=tmp_path,
        check=False,
        capture_output=True,
        text=True,
        timeout=90,
    )
    assert ended.returncode == 69
    assert "incompatible" in ended.stderr
    assert "topics.events" in ended.stderr
    assert "Traceback" not in ended.stderr
