"""`sternpost demo` as people run it, against the session's cluster; and what it leaves there."""

import json
import os
import subprocess
import sys
from pathlib import Path

from confluent_kafka.admin import AdminClient

from sternpost.local.demo import EXPECTED
from tests.support.kafka import Kafka


def test_the_demo_counts_right_and_leaves_no_topic_behind(kafka: Kafka, tmp_path: Path) -> None:
    result = subprocess.run(
        [Path(sys.executable).with_name("sternpost"), "demo", "--json"],
        env={
            **os.environ,
            "STERNPOST_KAFKA__BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
            "STERNPOST_SCHEMA_REGISTRY__URL": kafka.registry_url,
            "STERNPOST_TOPICS__REPLICATION_FACTOR": "1",
            "STERNPOST_TOPICS__MIN_INSYNC_REPLICAS": "1",
        },
        cwd=tmp_path,
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert result.returncode == 0, result.stderr
    printed = json.loads(result.stdout)
    assert printed.pop("wrong") == []
    assert printed.pop("expected") == EXPECTED == printed
    topics = AdminClient({"bootstrap.servers": kafka.bootstrap_servers}).list_topics(timeout=15).topics
    assert not [name for name in topics if name.startswith("sternpost-demo-")]
