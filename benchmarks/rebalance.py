"""What a change of the group costs, with each group protocol: a rolling restart, a dead worker, a worker that joins.

Webhooks go to each partition of the raw topic at a constant rate. A read_committed reader takes the time from writing
a webhook to reading its event; while a partition moves or waits for its worker, that time grows.
"""

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from confluent_kafka import KafkaException, TopicPartition

from benchmarks.cluster import Cluster, Place, fresh
from benchmarks.payloads import webhook
from benchmarks.processing import preload
from benchmarks.raw_topic import RawTopic
from benchmarks.result import Result
from benchmarks.start import is_ready
from runtime.errors import DependencyError
from runtime.kafka.clients import make_consumer
from runtime.settings.model import GroupProtocol, Settings
from schemas.track_event import EventReader
from sternpost.local import ports
from sternpost.local.process import Process
from sternpost.operations.status import consumer_group

PARTITIONS = 6
WORKERS = 3
RATE = 20
"""Webhooks a second, to each partition."""
QUIET_S = 5.0
PATIENCE_S = 240.0


def measure(cluster: Cluster, backlog: int, protocol: GroupProtocol) -> Iterator[Result]:
    """One run of each case: `backlog` is the number of events that wait when a worker joins."""
    with _group(cluster, protocol, WORKERS) as (place, workers), _Load(place.settings) as load:
        load.await_flow()
        began = time.monotonic()
        for worker in workers:
            worker.stop()
            worker.start()
            worker.wait_ready()
        seconds = time.monotonic() - began
        load.await_flow()
        yield _result("rolling restart", protocol, {"restart_s": seconds, **load.delays(began)})
        began = time.monotonic()
        workers[0].kill()
        workers[0].start()
        workers[0].wait_ready()
        seconds = time.monotonic() - began
        load.await_flow()
        yield _result("dead worker", protocol, {"ready_again_s": seconds, **load.delays(began)})
    with _group(cluster, protocol, 2, started=0) as (place, workers):
        preload(place.settings, backlog, 10_000)
        with _Load(place.settings, rate=0) as load:
            workers[0].start()
            load.wait(lambda: load.read >= backlog // 10)
            began, before = time.monotonic(), load.read
            workers[1].start()
            load.wait(lambda: _shares(place.settings) == [PARTITIONS // 2, PARTITIONS // 2])
            seconds = time.monotonic() - began
            load.wait(lambda: load.read >= backlog)
            figures = {
                "shared_after_s": seconds,
                "longest_pause_s": load.longest_pause(began),
                "events_per_s_from_then": (backlog - before) / (time.monotonic() - began),
            }
        yield _result("joining a backlog", protocol, figures, backlog=backlog)


def _result(benchmark: str, protocol: GroupProtocol, figures: dict[str, float], **case: int) -> Result:
    return Result(benchmark, str(protocol), {"partitions": PARTITIONS, **case}, figures)


class _Worker:
    """A process of the service with one group member."""

    def __init__(self, place: Place, number: int) -> None:
        self._port = ports.choose(0, "processor", "")
        name = f"bench-{number}"
        own = {"instance_id": name, "admin_port": self._port, "state_dir": place.folder / f"state-{name}"}
        processor = place.settings.processor.model_copy(update=own)
        settings = place.settings.model_copy(update={"processor": processor})
        self._process: Process = Place(settings, place.folder).process(name, None, service="process", environment={})
        self.start, self.stop = self._process.start, self._process.stop
        self.kill = self._process.kill

    def wait_ready(self) -> None:
        self._process.wait_until(lambda: is_ready(self._port), PATIENCE_S)


@contextmanager
def _group(
    cluster: Cluster, protocol: GroupProtocol, workers: int, started: int | None = None
) -> Iterator[tuple[Place, list[_Worker]]]:
    with fresh(cluster, PARTITIONS, processor={"group_protocol": protocol}) as place:
        group = [_Worker(place, number) for number in range(workers)]
        try:
            for worker in group[:started]:
                worker.start()
            for worker in group[:started]:
                worker.wait_ready()
            yield place, group
        finally:
            for worker in group:
                worker.stop()


def _shares(settings: Settings) -> list[int]:
    return sorted(len(member.partitions) for member in consumer_group.describe(settings).members)


class _Load:
    """Writes webhooks at a constant rate and reads the events, each in a thread."""

    def __init__(self, settings: Settings, rate: int = RATE) -> None:
        """Write `rate` webhooks a second to each partition; none with 0."""
        self._settings, self._rate = settings, rate
        self._stop = threading.Event()
        self._written: dict[str, float] = {}
        self._read: dict[str, float] = {}
        self._arrivals: defaultdict[int, list[float]] = defaultdict(list)
        """By raw partition: when events of it were read."""
        self._failure: BaseException | None = None
        self._threads = [threading.Thread(target=self._guard, args=(run,)) for run in (self._write, self._follow)]

    @property
    def read(self) -> int:
        return len(self._read)

    def __enter__(self) -> "_Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def wait(self, condition: Callable[[], bool]) -> None:
        """Wait until something is so. Raises DependencyError if it takes too long."""
        deadline = time.monotonic() + PATIENCE_S
        while not condition():
            if self._failure is not None:
                raise self._failure
            if time.monotonic() > deadline:
                raise DependencyError(f"{self.read} events were read, and no more came within {PATIENCE_S:.0f} s")
            time.sleep(0.05)

    def await_flow(self) -> None:
        """Return once every partition has given what was written until now, and some seconds more of it."""
        time.sleep(QUIET_S)
        written = set(self._written.copy())
        self.wait(lambda: written <= self._read.keys())

    def delays(self, since: float) -> dict[str, float]:
        """Return how long events of webhooks written from then on took, in seconds."""
        read = self._read.copy()
        found = sorted(read[key] - at for key, at in self._written.copy().items() if at >= since and key in read)
        return {"p50_s": found[len(found) // 2], "p95_s": found[len(found) * 95 // 100], "longest_s": found[-1]}

    def longest_pause(self, since: float) -> float:
        """Return the longest time from then on in which events of some partition were to come and none did."""
        times = [[at for at in arrivals if at >= since] for arrivals in self._arrivals.values()]
        return max(after - before for found in times for before, after in zip([since, *found], found, strict=False))

    def _guard(self, run: Callable[[], None]) -> None:
        try:
            run()
        except BaseException as error:
            self._failure = error

    def _write(self) -> None:
        due, index = time.monotonic(), 0
        with RawTopic(self._settings) as raw:
            while self._rate and not self._stop.wait(max(0.0, due - time.monotonic())):
                for partition in range(PARTITIONS):
                    made = webhook(index, "rebalance")
                    self._written[made.event_id] = time.monotonic()
                    raw.write(made.body, made.person, made.headers(), partition)
                    index += 1
                due += 1 / self._rate

    def _follow(self) -> None:
        consumer = make_consumer(self._settings, {"group.id": "bench-reader", "fetch.wait.max.ms": 20})
        consumer.assign([TopicPartition(self._settings.topics.events, p, 0) for p in range(PARTITIONS)])
        decode = EventReader.of_newest()
        try:
            while not self._stop.is_set():
                for message in consumer.consume(1_000, 0.1):
                    if (error := message.error()) is not None:
                        raise KafkaException(error)
                    event, now = decode(message.value() or b""), time.monotonic()
                    self._read[event["messageId"]] = now
                    self._arrivals[event["context"]["origin"]["partition"]].append(now)
        finally:
            consumer.close()
