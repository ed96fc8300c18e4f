"""Exactly once, while clocks are minutes and hours off, ahead and behind, and jump.

    STERNPOST_CHAOS_SEED=7  the seed: who is killed, by how much clocks jump, what is sent (1)

Brokers, ingests and processors have a clock each, by a preloaded library that takes a C compiler; without one the tests
are skipped. Brokers refuse what is dated more than an hour ahead of them: such a clock stops who has it until it is
right again, and everything else must go on. As in `test_exactly_once`, in the end every acknowledged event must be
there once, whole and in order. One service with a wrong clock is in `test_wrong_clock`.
"""

import contextlib
import json
import os
import random
import re
import subprocess
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from runtime.settings.model import GroupProtocol
from sternpost.local import LocalStack
from tests.chaos import faults, pipeline
from tests.chaos.experiment import endure, in_this_order, say
from tests.chaos.faults import hold
from tests.chaos.pipeline import SESSION_S, STERNPOST, Service
from tests.support.retention import CHECKED_EACH_SECOND, await_check
from tests.support.waiting import until
from tests.support.wrong_clock import Clock, needs_compiler

pytestmark = needs_compiler

SEED = int(os.environ.get("STERNPOST_CHAOS_SEED") or 1)
MOST_EVENTS, RATE = 600_000, 100
NOTICED_S = 180.0
BLAMED = "this machine's clock or a broker's is wrong"
MINUTES = 1 / 60
"""In hours, which `Clock.set` takes."""


class Pipeline(pipeline.Pipeline):
    """The programs are called `broker-1` to `broker-3`, `ingest-0` and `ingest-1`, `processor-0` and `processor-1`."""

    stack: LocalStack

    def __init__(self) -> None:
        self._clocks: dict[str, Clock] = {}
        super().__init__(2, GroupProtocol.CLASSIC, ingests=2)

    def new_stack(self) -> LocalStack:
        return _Stack(self.clock)

    def host(self, service: str) -> pipeline.Host:
        return _Host(self.clock(service))

    def clock(self, name: str) -> Clock:
        if name not in self._clocks:
            self._clocks[name] = Clock(self.folder, f"{name}.clock")
        return self._clocks[name]

    def set_right(self) -> None:
        """Set all clocks right, as NTP would."""
        for clock in self._clocks.values():
            clock.set(0)


class _Host(pipeline.Host):
    """This machine, with another clock."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    @property
    def enter(self) -> list[str]:
        return self._clock.enter


class _Stack(LocalStack):
    def __init__(self, clock: Callable[[str], Clock], brokers: int = 3, *, registry: bool = True) -> None:
        super().__init__(brokers=brokers, registry=registry, broker_properties=CHECKED_EACH_SECOND)
        self._clock = clock

    def _prepare(self) -> None:
        super()._prepare()
        for broker in self.brokers:
            broker._command = [*self._clock(f"broker-{broker.id}").enter, *broker._command]


def test_every_event_comes_out_once_whatever_the_clocks_say(capfd: pytest.CaptureFixture[str]) -> None:
    with capfd.disabled(), Pipeline() as pipeline:
        say(f"clocks: logs in {pipeline.folder}")
        endure(pipeline, FAULTS, SEED, MOST_EVENTS, RATE, to_the_last=False)


def brokers_minutes_off(pipeline: Pipeline, _: random.Random) -> None:
    pipeline.clock("broker-1").set(-10 * MINUTES)
    pipeline.clock("broker-2").set(20 * MINUTES)
    assert doctor_on_clocks(pipeline) == "broker 2 is ahead of this machine"


def broker_hours_ahead(pipeline: Pipeline, _: random.Random) -> None:
    pipeline.set_right()
    pipeline.clock("broker-3").set(3)


def broker_hours_behind(pipeline: Pipeline, _: random.Random) -> None:
    """For it, everybody else's clock is ahead: ingests are not ready, processors end, and both say why."""
    pipeline.set_right()
    before = len(pipeline.restarts)
    pipeline.clock("broker-2").set(-3)
    for ingest in pipeline.ingests:
        until(lambda ingest=ingest: BLAMED in unready(ingest), NOTICED_S)  # type: ignore[misc]
    assert doctor_on_clocks(pipeline) == "broker 2 is behind this machine"
    until(lambda: any(one.startswith("processor") for one in pipeline.restarts[before:]), NOTICED_S)
    assert all(one.endswith(": 69") for one in pipeline.restarts[before:]), pipeline.restarts
    assert any(BLAMED in service.log.read_text("utf-8", "replace") for service in pipeline.processors)
    pipeline.set_right()
    await_all_ready(pipeline)


def services_hours_behind(pipeline: Pipeline, _: random.Random) -> None:
    """A processor takes over partitions, and restores their states from records dated hours after its clock."""
    other, taking = pipeline.processors
    pipeline.clock(pipeline.ingests[0].name).set(-5)
    pipeline.clock(taking.name).set(-3)
    pipeline.stop_service(other)
    hold(SESSION_S + 2)
    pipeline.start(other)


def services_jump_and_are_killed(pipeline: Pipeline, rng: random.Random) -> None:
    pipeline.set_right()
    with jumping(pipeline, rng, "ingest-0", "processor-0"):
        for fault in (faults.ingest_killed, faults.processor_killed, faults.broker_killed):
            fault(pipeline, rng)
        await_all_ready(pipeline)
        faults.all_processors_killed(pipeline, rng)
        await_all_ready(pipeline)


def await_all_ready(pipeline: Pipeline) -> None:
    for service in (*pipeline.ingests, *pipeline.processors):
        pipeline.await_ready(service)


@contextlib.contextmanager
def jumping(pipeline: Pipeline, rng: random.Random, *names: str) -> Iterator[None]:
    """Have clocks jump several times a second, by up to 50 minutes forwards and back; in the end all are right."""
    over = threading.Event()
    own = random.Random(rng.random())

    def jump() -> None:
        while not over.wait(own.uniform(0.1, 1.0)):
            pipeline.clock(own.choice(names)).set(own.uniform(-50, 50) * MINUTES)

    thread = threading.Thread(target=jump)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        pipeline.set_right()


def doctor_on_clocks(pipeline: Pipeline) -> str:
    """Return which broker's clock is furthest off and which way, as records say that the brokers date.

    A broker whose clock has just jumped may take no record yet; `doctor` says so, and is asked again.
    """
    env = {**os.environ, **pipeline.env}
    command = [str(STERNPOST), "doctor", "--json"]

    def told() -> dict[str, str] | None:
        said = subprocess.run(command, env=env, capture_output=True, text=True, timeout=300, check=False)
        (clocks,) = [check for check in json.loads(said.stdout)["checks"] if check["name"] == "clocks"]
        return None if clocks["verdict"] == "skipped" else clocks

    found: dict[str, str] = until(told, NOTICED_S)
    assert found["verdict"] == "fault", found
    return re.sub(r"[0-9.]+ s ", "", found["detail"])


def unready(service: Service) -> str:
    """Return why a service is not ready; an empty text if it is."""
    try:
        with urllib.request.urlopen(f"http://{service.host.address}:{service.admin_port}/readyz", timeout=60):
            return ""
    except urllib.error.HTTPError as error:
        with error:
            return error.read().decode()


FAULTS = in_this_order(
    brokers_minutes_off,
    broker_hours_ahead,
    broker_hours_behind,
    services_hours_behind,
    services_jump_and_are_killed,
)
"""With a fresh event through every partition after each: clocks that a fault leaves off are off then."""


@pytest.fixture
def clock(tmp_path: Path) -> Clock:
    return Clock(tmp_path)


@pytest.fixture
def kafka(clock: Clock) -> Iterator[dict[str, Any]]:
    """Return how to reach a broker of its own, which has that clock."""
    with _Stack(lambda _: clock, brokers=1, registry=False) as stack:
        yield {"bootstrap.servers": stack.bootstrap_servers}


def create(kafka: dict[str, Any], partitions: int, **config: str) -> None:
    topic = NewTopic("topic", partitions, 1, config={name.replace("_", "."): value for name, value in config.items()})
    admin = AdminClient(kafka)  # gives up what it was asked for when nothing refers to it
    admin.create_topics([topic], operation_timeout=30)["topic"].result(60)


def readable(kafka: dict[str, Any], partition: int = 0) -> tuple[int, int]:
    """Return the offsets of the first record and behind the last one that a read_committed reader may read."""
    consumer = Consumer({**kafka, "group.id": "none", "isolation.level": "read_committed"})
    try:
        return consumer.get_watermark_offsets(TopicPartition("topic", partition), timeout=30)
    finally:
        consumer.close()


def test_a_broker_ahead_by_the_whole_retention_deletes_everything(clock: Clock, kafka: dict[str, Any]) -> None:
    retention_ms = 2 * 3_600_000
    create(kafka, 1, retention_ms=str(retention_ms))
    producer = Producer(kafka)
    producer.produce("topic", b"of now")
    assert producer.flush(NOTICED_S) == 0
    clock.set(1)
    await_check(kafka["bootstrap.servers"], retention_ms)
    assert readable(kafka) == (0, 1)
    clock.set(3)
    until(lambda: readable(kafka) == (1, 1), NOTICED_S)


def test_a_broker_set_back_ends_an_open_transaction_as_much_later(clock: Clock, kafka: dict[str, Any]) -> None:
    """Unless a producer of the same name starts, as the processor does with each start."""
    create(kafka, 2)

    def begin(partition: int) -> Producer:
        """Begin a transaction that nobody ends."""
        producer = Producer({**kafka, "transactional.id": f"id-{partition}", "transaction.timeout.ms": 15_000})
        producer.init_transactions(NOTICED_S)
        producer.begin_transaction()
        producer.produce("topic", b"of nobody", partition=partition)
        assert producer.flush(NOTICED_S) == 0
        return producer

    before = begin(0)
    clock.set(-2)
    after = begin(1)
    until(lambda: readable(kafka, 1)[1] > 0, NOTICED_S)
    assert readable(kafka, 0)[1] == 0
    begin(0)
    assert readable(kafka, 0)[1] > 0
    del before, after
