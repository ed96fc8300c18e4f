"""The processor without its registry: at start it waits, later it goes on from what it knows."""

import json
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import orjson
import psutil

from runtime.kafka import range_consumer
from runtime.settings.loader import load
from sternpost.local import LocalStack, samples
from sternpost.local.ports import choose
from sternpost.local.services import environment_for
from sternpost.operations import schema, topics
from sternpost.operations.changes_allowed import ChangesAllowed
from tests.support.kafka import STOP_MS, idempotent_producer
from tests.support.waiting import PATIENCE_S, until


def test_the_processor_waits_for_the_registry_and_then_needs_it_no_more(tmp_path: Path) -> None:
    with LocalStack() as stack:
        assert stack.registry is not None
        settings = load(
            None,
            {
                "kafka.bootstrap_servers": stack.bootstrap_servers,
                "schema_registry.url": stack.registry_url,
                "topics.partitions": 2,
                "topics.replication_factor": 1,
                "topics.min_insync_replicas": 1,
                "processor.admin_port": choose(0, "the processor", ""),
                "processor.state_dir": tmp_path / "state",
                "processor.shutdown_timeout_ms": STOP_MS,
            },
        )
        topics.create(settings, ChangesAllowed())
        schema.register(settings, ChangesAllowed())
        stack.registry.stop()

        log = tmp_path / "log"
        with log.open("wb") as output:
            processor = subprocess.Popen(
                [Path(sys.executable).with_name("sternpost"), "process"],
                env=environment_for(settings),
                stderr=output,
                cwd=tmp_path,
            )
        try:
            begun = time.monotonic()
            until(lambda: "waiting: the schema registry does not answer" in log.read_text())
            assert until(lambda: ready(settings.processor.admin_port)) == 503
            stack.registry.start()
            stack.registry.wait_ready()
            until(lambda: ready(settings.processor.admin_port) == 200)
            minutes = int((time.monotonic() - begun) / 60)
            stack.registry.kill()

            producer = idempotent_producer(stack.bootstrap_servers)
            for index in range(20):
                producer.produce(settings.topics.raw, orjson.dumps(samples.payload(index)), str(index))
            assert producer.flush(PATIENCE_S) == 0
            until(lambda: len(list(range_consumer.read(settings, settings.topics.events))) == 20)

            [worker] = [
                child for child in psutil.Process(processor.pid).children() if "spawn_main" in str(child.cmdline())
            ]
            worker.kill()
            for index in range(20, 30):
                producer.produce(settings.topics.raw, orjson.dumps(samples.payload(index)), str(index))
            assert producer.flush(PATIENCE_S) == 0
            until(lambda: len(list(range_consumer.read(settings, settings.topics.events))) == 30)
            processor.send_signal(signal.SIGTERM)
            assert processor.wait(PATIENCE_S) == 0
        finally:
            processor.kill()
            processor.wait()
        waiting = [line for line in log.read_text().splitlines() if "waiting:" in line]
        assert 1 <= len(waiting) <= 1 + minutes, "one line, not a flood"
        assert json.loads(waiting[0])["level"] == "warning"


def ready(port: int) -> int:
    """The status of /readyz; 0 where nothing listens."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=PATIENCE_S) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code
    except OSError:
        return 0
