"""`sternpost demo` as people run it, against the session's cluster; and what it leaves there."""

import json
import os
import subprocess
import sys
from pathlib import Path

from confluent_kafka.admin import AdminClient

from sternpost.local.demo import EXPECTED
from tests.support.kafka import Kafka
from tests.support.waiting import PATIENCE_S, until


def test_the_demo_counts_right_and_leaves_no_topic_behind(kafka: Kafka, tmp_path: Path) -> None:
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap_servers})

    def topics_of_demos() -> set[str]:
        return {name for name in admin.list_topics(timeout=PATIENCE_S).topics if name.startswith("sternpost-demo-")}

    others = topics_of_demos()
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
        timeout=2 * PATIENCE_S,
    )
    assert result.returncode == 0, result.stderr
    printed = json.loads(result.stdout)
    assert printed.pop("wrong") == []
    assert printed.pop("expected") == EXPECTED == printed
    until(lambda: topics_of_demos() <= others)
