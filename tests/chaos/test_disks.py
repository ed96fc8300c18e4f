"""Exactly once, while disks are slow, full, or read-only after an error.

    STERNPOST_CHAOS_SEED=7  the seed: what is sent (1)

One of three brokers has a disk of its own, and so have the state of a processor and the log of an ingest: ext4 on loop
devices, which take root, e2fsprogs, and control groups that limit writes; the tests are skipped where these are
missing. As in `test_exactly_once`, in the end every acknowledged event must be there once, whole and in order. A
state's disk that is full from one start to the next is one of the faults there; commands on full disks are in
`test_full_disk`.
"""

import os
import random
import signal
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient, NewTopic

from runtime.settings.model import GroupProtocol
from sternpost.local import LocalStack
from sternpost.local.broker import Broker
from tests.chaos import pipeline
from tests.chaos.experiment import endure, in_this_order, say
from tests.chaos.pipeline import Service
from tests.chaos.records import Topics
from tests.chaos.test_ingest_faults import TOPIC, Senders, check, create, ready
from tests.support.disks import Disk, fill, small_disk
from tests.support.endpoint import endpoint
from tests.support.kafka import idempotent_producer
from tests.support.retention import CHECKED_EACH_SECOND
from tests.support.service import DROPPED
from tests.support.waiting import until

SEED = int(os.environ.get("STERNPOST_CHAOS_SEED") or 1)
MOST_EVENTS, RATE = 600_000, 100
NOTICED_S = 180.0
WRITES_PER_S = 100
PROPERTIES = {
    **CHECKED_EACH_SECOND,
    "leader.imbalance.check.interval.seconds": "1",  # a broker that was away soon leads its partitions again
    "replica.lag.time.max.ms": "10000",  # one that is slow is waited for so long
}


class Pipeline(pipeline.Pipeline):
    """Broker 2 has a disk of its own, and another disk has the state of `processor-0` and the log of `ingest-0`."""

    stack: LocalStack

    def __init__(self) -> None:
        super().__init__(2, GroupProtocol.CLASSIC, ingests=2, broker_properties=PROPERTIES)
        self.services_disk = Disk(self.folder / "disk", self.folder / "services.ext4")
        self.disks = [self.services_disk]

    def new_stack(self) -> LocalStack:
        return _Stack(self)

    @property
    def broker(self) -> Broker:
        """The one with a disk of its own."""
        return self.stack.brokers[1]

    @property
    def broker_disk(self) -> Disk:
        return self.disks[1]

    def disk_of(self, broker: Broker) -> Disk:
        disk = Disk(self.stack.folder / f"kafka-{broker.id}", self.folder / "broker.ext4")
        self.disks.append(disk)
        return disk

    def host(self, service: str) -> pipeline.Host:
        return _Host(self.services_disk) if service.endswith("-0") else pipeline.Host()

    def state_dir(self, name: str) -> Path:
        return (self.services_disk.folder if name == "processor-0" else self.folder) / f"state-{name}"

    def log_dir(self, name: str) -> Path:
        return self.services_disk.folder if name == "ingest-0" else self.folder

    def stop(self) -> None:
        for disk in self.disks:
            disk.detach()
        super().stop()
        for disk in self.disks:
            disk.close()


class _Host(pipeline.Host):
    def __init__(self, disk: Disk) -> None:
        self._disk = disk

    @property
    def enter(self) -> list[str]:
        return self._disk.enter


class _Stack(LocalStack):
    def __init__(self, of: Pipeline) -> None:
        super().__init__(brokers=3, broker_properties=PROPERTIES)
        self._of = of

    def _prepare(self) -> None:
        super()._prepare()
        broker = self._of.broker
        broker._command = [*self._of.disk_of(broker).enter, *broker._command]


def test_every_event_comes_out_once_whatever_the_disks_do(capfd: pytest.CaptureFixture[str], disk: Disk) -> None:
    disk.fail()
    disk.repair()
    with capfd.disabled(), Pipeline() as pipeline:
        say(f"disks: logs in {pipeline.folder}")
        endure(pipeline, FAULTS, SEED, MOST_EVENTS, RATE, to_the_last=False)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    """A disk, or the reason why this machine can make none."""
    disk = Disk(tmp_path / "disk", tmp_path / "disk.ext4")
    yield disk
    disk.detach()
    disk.close()


def broker_slow(pipeline: Pipeline, _: random.Random) -> None:
    """It stays slow while fresh events must come out; at first it is even slower, so that it shows on any machine."""
    broker, count, at_first = pipeline.broker, 10, WRITES_PER_S // 10
    topic = f"on-{broker.id}"
    admin = AdminClient({"bootstrap.servers": pipeline.stack.bootstrap_servers})
    admin.create_topics([NewTopic(topic, 1, replica_assignment=[[broker.id]])], operation_timeout=30)[topic].result(60)
    producer = idempotent_producer(pipeline.stack.bootstrap_servers, {"linger.ms": 0})

    def append() -> float:
        """Return the seconds that the broker takes for so many records, one after the other."""
        begun = time.monotonic()
        for number in range(count):
            producer.produce(topic, b"%d" % number)
            assert producer.flush(NOTICED_S) == 0
        return time.monotonic() - begun

    before_s = append()
    pipeline.broker_disk.slow(at_first)
    slow_s = append()
    pipeline.broker_disk.slow(WRITES_PER_S)
    say(f"{count} records took the broker {before_s:.2f} s before, {slow_s:.2f} s with {at_first} writes a second")
    assert slow_s > 0.8 * count / at_first, "the disk is not slow"


def broker_fast_again(pipeline: Pipeline, _: random.Random) -> None:
    pipeline.broker_disk.fast()
    await_in_sync(pipeline)


def broker_full(pipeline: Pipeline, _: random.Random) -> None:
    """The broker ends by itself, and stays away while fresh events must come out."""
    fill(pipeline.broker_disk.folder)
    until(lambda: pipeline.broker.pid is None, NOTICED_S)


def broker_has_room_again(pipeline: Pipeline, _: random.Random) -> None:
    (pipeline.broker_disk.folder / "filler").unlink()
    start_broker(pipeline)


def broker_read_only(pipeline: Pipeline, _: random.Random) -> None:
    pipeline.broker_disk.fail()
    until(lambda: pipeline.broker.pid is None, NOTICED_S)


def broker_repaired(pipeline: Pipeline, _: random.Random) -> None:
    pipeline.broker_disk.repair()
    start_broker(pipeline)


def state_slow(pipeline: Pipeline, _: random.Random) -> None:
    """It is read, closed and opened while it is slow."""
    processor = pipeline.processors[0]
    pipeline.services_disk.slow(WRITES_PER_S)
    pipeline.stop_service(processor)
    pipeline.start(processor)
    pipeline.await_ready(processor)
    pipeline.services_disk.fast()


def state_and_log_read_only(pipeline: Pipeline, _: random.Random) -> None:
    """Ingest goes on and drops lines. So does the processor, until it has to open its state again."""
    ingest, processor = pipeline.ingests[0], pipeline.processors[0]
    pipeline.services_disk.fail()
    until(lambda: logs_nothing(ingest))
    pipeline.await_ready(ingest)
    before = len(pipeline.restarts)
    processor.signal_all(signal.SIGKILL)
    until(lambda: f"{processor.name}: 69" in pipeline.restarts[before:], NOTICED_S)
    assert "processor.state_dir" in processor.log.read_text("utf-8", "replace")
    pipeline.stop_service(ingest)
    pipeline.give_up(processor)
    pipeline.services_disk.repair()
    for service in (ingest, processor):
        pipeline.start(service)
        pipeline.await_ready(service)


def logs_nothing(service: Service) -> bool:
    """Have a service log a line, and return whether it has dropped any."""
    service.signal_all(signal.SIGHUP)
    with urllib.request.urlopen(f"http://{service.host.address}:{service.admin_port}/metrics", timeout=60) as answer:
        lines = answer.read().decode().splitlines()
    return any(float(line.split()[-1]) for line in lines if line.startswith(DROPPED + " "))


def start_broker(pipeline: Pipeline) -> None:
    pipeline.broker.start()
    pipeline.broker.wait_ready()
    await_in_sync(pipeline)


def await_in_sync(pipeline: Pipeline) -> None:
    """Wait until the broker has caught up with everything, and leads what it led before."""
    admin = AdminClient({"bootstrap.servers": pipeline.stack.bootstrap_servers})

    def in_sync() -> bool:
        found = admin.list_topics(timeout=60).topics
        partitions = [one for topic in Topics() for one in found[topic].partitions.values()]
        return all(len(one.isrs) == 3 and one.leader == one.replicas[0] for one in partitions)

    until(in_sync, NOTICED_S)


FAULTS = in_this_order(
    broker_slow,
    broker_fast_again,
    broker_full,
    broker_has_room_again,
    broker_read_only,
    broker_repaired,
    state_slow,
    state_and_log_read_only,
)
"""With a fresh event through every partition after each."""


def test_the_only_broker_has_a_full_disk_and_then_room_again(tmp_path: Path) -> None:
    """Ingest answers 503 meanwhile, and nothing that was answered 200 is lost."""
    with small_disk(tmp_path / "disk", "300m") as disk, LocalStack(registry=False, data_dir=disk / "data") as stack:
        create(stack)
        (broker,) = stack.brokers
        with endpoint(tmp_path, stack.bootstrap_servers, TOPIC, patient=False) as service:
            with Senders(service) as senders:
                senders.reached(200, 200)
                filler = fill(disk)
                until(lambda: broker.pid is None, NOTICED_S)
                senders.reached(503, 20)
                until(lambda: not ready(service))
                filler.unlink()
                broker.start()
                broker.wait_ready()
                senders.reached(200, 200)
                until(lambda: ready(service))
            check(senders, stack)
            assert service.stop() == 0
