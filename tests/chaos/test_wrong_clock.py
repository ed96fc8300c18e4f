"""Services and commands on a machine whose clock is an hour or more off that of the brokers."""

import json
import os
import subprocess
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from runtime.kafka import range_consumer
from runtime.settings.model import Settings
from tests.support.kafka import WRITE_KEY, Kafka, SettingsMaker, TopicMaker, idempotent_producer
from tests.support.raw_records import payload
from tests.support.service import PROGRAM, Service, Starter
from tests.support.waiting import until
from tests.support.wrong_clock import Clock, needs_compiler

pytestmark = [needs_compiler, pytest.mark.timeout(900)]  # services start three times, one after the other

HOUR_S = 3600
BLAMED = "this machine's clock or a broker's is wrong"
PATIENCE_S = 250.0


@pytest.fixture
def clock(tmp_path: Path) -> Clock:
    return Clock(tmp_path)


def produce(kafka: Kafka, topic: str, body: bytes) -> None:
    producer = idempotent_producer(kafka.bootstrap_servers)
    producer.produce(topic, body, partition=0)
    assert producer.flush(30) == 0


def post(service: Service) -> int:
    url = f"http://127.0.0.1:{service.port}/v1/webhook?writeKey={WRITE_KEY}"
    try:
        with urllib.request.urlopen(url, payload(), timeout=30) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def test_ingest_is_not_ready_and_says_why_until_the_clock_is_right(start: Starter, clock: Clock) -> None:
    service = start("ingest", *clock.enter)
    service.works()
    clock.set(-5)  # brokers take what is dated in the past
    service.works()
    clock.set(3)
    until(lambda: post(service) == 503 and BLAMED in service.get("/readyz")[1], PATIENCE_S)
    assert service.get("/healthz")[0] == 200
    clock.set(0)
    until(lambda: post(service) == 200 and service.ready(), PATIENCE_S)
    service.works()
    assert service.end() == 0


def test_a_processor_ends_and_buries_nothing(start: Starter, clock: Clock, kafka: Kafka, tmp_path: Path) -> None:
    topics = start.topics
    settings = Settings.model_validate({"kafka": {"bootstrap_servers": kafka.bootstrap_servers}, "topics": topics})
    with (tmp_path / "log").open("wb") as log:
        service = start("process", *clock.enter, stderr=log)
    until(service.ready, PATIENCE_S)
    clock.set(3)
    produce(kafka, topics["raw"], payload("first"))
    assert service.process.wait(PATIENCE_S) == 69
    assert BLAMED in (tmp_path / "log").read_text("utf-8")
    clock.set(-3)
    service = start("process", *clock.enter)
    until(lambda: len(list(range_consumer.read(settings, topics["events"]))) == 1, PATIENCE_S)
    assert list(range_consumer.read(settings, topics["dead_letters"])) == []
    assert service.end() == 0


@pytest.mark.parametrize("hours", [1, -1])
def test_commands(
    kafka: Kafka, make_topics: TopicMaker, make_settings: SettingsMaker, clock: Clock, hours: int
) -> None:
    settings = make_settings(make_topics())
    produce(kafka, settings.topics.raw, payload())
    clock.set(hours)
    command = [
        PROGRAM,
        f"--set=kafka.bootstrap_servers={kafka.bootstrap_servers}",
        f"--set=schema_registry.url={kafka.registry_url}",
        f"--set=processor.group_id={settings.processor.group_id}",
        *(f"--set=topics.{name}={value}" for name, value in settings.topics.model_dump().items()),
    ]

    def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
        environment = {**os.environ, **clock.environment}
        return subprocess.run(
            [*command, *arguments], env=environment, capture_output=True, text=True, timeout=300, check=False
        )

    doctor = run("doctor", "--json")
    (found,) = [check for check in json.loads(doctor.stdout)["checks"] if check["name"] == "clocks"]
    assert found["verdict"] == "fault"
    assert f"{'behind' if hours > 0 else 'ahead of'} this machine" in found["detail"]
    status = run("status", "--json")
    assert "Traceback" not in doctor.stderr + status.stderr
    ages = [partition["lag_seconds"] for partition in json.loads(status.stdout)["partitions"]]
    (age,) = [age for age in ages if age is not None]
    assert age > HOUR_S / 2 if hours > 0 else age == 0
