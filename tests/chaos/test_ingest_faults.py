"""Kafka in trouble: every answer is 200 or 503, none waits for Kafka; readiness follows; nothing acknowledged is lost.

How long an answer takes is not looked at, as it is also a matter of the machine. While Kafka is away, each sender gets
its answers all the same.
"""

import resource
import selectors
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka.admin import NewTopic

from sternpost.local import LocalStack
from tests.support.endpoint import Endpoint, answer_on, endpoint, records, request
from tests.support.kafka import create_topics
from tests.support.waiting import PATIENCE_S

TOPIC = "raw"
LONG_MS = 3_800
"""The longest deadline that an answer can be given: what waits for Kafka is to be seen waiting."""


def create(stack: LocalStack, replicas: int = 1, min_insync: int = 1) -> None:
    topic = NewTopic(TOPIC, 3, replicas, config={"min.insync.replicas": str(min_insync)})
    create_topics(stack.bootstrap_servers, [topic])


@pytest.fixture
def stack() -> Iterator[LocalStack]:
    with LocalStack(registry=False) as stack:
        create(stack)
        yield stack


class Senders:
    """Customer.io, several times over: each sends one numbered body after the other, and all keep one tally."""

    def __init__(self, service: Endpoint, count: int = 8) -> None:
        self._service = service
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._send, args=(number,)) for number in range(count)]
        self.acknowledged: list[bytes] = []
        # With the statuses that are expected, so that none comes in while others add them up.
        self.of_each: list[Counter[int]] = [Counter({200: 0, 503: 0}) for _ in range(count)]
        """How often each sender got each status."""
        self.faults: list[str] = []

    def __enter__(self) -> "Senders":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    @property
    def statuses(self) -> Counter[int]:
        """How often there was each status, of those that there were."""
        return sum(self.of_each, Counter())

    def reached(self, status: int, more: int) -> None:
        """Wait for so many more answers of that status, and until each sender has got one of them."""
        target, before = self.statuses[status] + more, [statuses[status] for statuses in self.of_each]
        self._service.wait_until(
            lambda: (
                self.statuses[status] >= target
                and all(statuses[status] > had for statuses, had in zip(self.of_each, before, strict=True))
            )
        )

    def _send(self, number: int) -> None:
        sent = 0
        while not self._stop.is_set():
            body = b'{"event_id":"%d-%d"}' % (number, sent)
            sent += 1
            try:
                answer = self._service.post(body)
            except OSError as error:
                self.faults.append(repr(error))
                continue
            self.of_each[number][answer.status] += 1
            if answer.status == 200:
                self.acknowledged.append(body)
            elif answer.status == 503:
                assert int(answer.headers["retry-after"]) > 0
                self._stop.wait(0.02)


def check(senders: Senders, stack: LocalStack) -> None:
    assert senders.faults == []
    assert set(senders.statuses) == {200, 503}
    written = {record.value for record in records(stack.bootstrap_servers, TOPIC)}
    assert [body for body in senders.acknowledged if body not in written] == []


def ready(service: Endpoint) -> bool:
    return service.admin("/readyz")[0] == 200


def test_a_broker_killed_and_back(stack: LocalStack, tmp_path: Path) -> None:
    with endpoint(tmp_path, stack.bootstrap_servers, TOPIC, patient=False) as service:
        with Senders(service) as senders:
            senders.reached(200, 200)
            stack.brokers[0].kill()
            senders.reached(503, 20)
            service.wait_until(lambda: not ready(service))
            assert service.admin("/healthz")[0] == 200
            stack.brokers[0].start()
            stack.brokers[0].wait_ready()
            senders.reached(200, 200)
            service.wait_until(lambda: ready(service))
        check(senders, stack)
        assert service.stop() == 0


def test_a_broker_frozen_and_thawed(stack: LocalStack, tmp_path: Path) -> None:
    """Acknowledgements stop with no connection lost."""
    with endpoint(tmp_path, stack.bootstrap_servers, TOPIC, produce_deadline_ms=1500) as service:
        with Senders(service) as senders:
            senders.reached(200, 200)
            stack.brokers[0].freeze()
            senders.reached(503, 16)
            service.wait_until(lambda: not ready(service))
            assert service.admin("/healthz")[0] == 200
            stack.brokers[0].thaw()
            senders.reached(200, 200)
            service.wait_until(lambda: ready(service))
        check(senders, stack)
        service.wait_until(lambda: service.metric("sternpost_ingest_in_flight") == 0)
        assert service.metric('sternpost_ingest_produce_errors_total{error="deadline"}') > 0
        assert service.stop() == 0


def test_stopping_while_the_broker_is_frozen_answers_what_waits(stack: LocalStack, tmp_path: Path) -> None:
    with endpoint(tmp_path, stack.bootstrap_servers, TOPIC, produce_deadline_ms=LONG_MS) as service:
        stack.brokers[0].freeze()
        with service.connect() as connection:
            connection.sendall(request(b"waiting"))
            service.wait_until(lambda: service.metric("sternpost_ingest_in_flight") == 1)
            service.process.terminate()
            answer = answer_on(connection)
        assert answer is not None
        assert (answer.status, answer.headers["connection"]) == (503, "close")
        assert service.process.wait(PATIENCE_S) == 0
        stack.brokers[0].thaw()


@pytest.mark.parametrize("bound", [{"max_in_flight_requests": 4}, {"max_in_flight_bytes": 40, "max_body_bytes": 40}])
def test_more_than_may_wait_is_refused_at_once(stack: LocalStack, tmp_path: Path, bound: dict[str, Any]) -> None:
    with endpoint(tmp_path, stack.bootstrap_servers, TOPIC, produce_deadline_ms=LONG_MS, **bound) as service:
        stack.brokers[0].freeze()
        with Senders(service) as senders:
            busy = 'sternpost_ingest_requests_total{outcome="busy",source="signed"}'
            service.wait_until(lambda: service.metric(busy) > 0)
            senders.reached(503, 1)
            assert set(senders.statuses) == {503}
            stack.brokers[0].thaw()
            senders.reached(200, 1)
        check(senders, stack)


@pytest.mark.parametrize(("min_insync", "goes_on"), [(2, True), (3, False)])
def test_one_of_three_brokers_lost(tmp_path: Path, min_insync: int, goes_on: bool) -> None:
    """With enough replicas left it goes on; without, it is 503 until the broker is back."""
    with LocalStack(brokers=3, registry=False) as stack:
        create(stack, replicas=3, min_insync=min_insync)
        with endpoint(tmp_path, stack.bootstrap_servers, TOPIC, patient=False) as service:
            with Senders(service) as senders:
                senders.reached(200, 200)
                stack.brokers[2].kill()
                if goes_on:
                    senders.reached(200, 500)
                else:
                    senders.reached(503, 50)
                    service.wait_until(lambda: not ready(service))
                stack.brokers[2].start()
                stack.brokers[2].wait_ready()
                senders.reached(200, 200)
                service.wait_until(lambda: ready(service))
            assert senders.faults == []
            assert set(senders.statuses) <= {200, 503}
            written = {record.value for record in records(stack.bootstrap_servers, TOPIC)}
            assert [body for body in senders.acknowledged if body not in written] == []
            assert service.stop() == 0


def test_five_thousand_connections(stack: LocalStack, tmp_path: Path) -> None:
    count = 5_000
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 2 * count:
        pytest.skip(f"needs {2 * count} open files, the limit is {hard}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        with endpoint(tmp_path, stack.bootstrap_servers, TOPIC) as service, selectors.DefaultSelector() as selector:
            connections: list[socket.socket] = []
            for number in range(count):
                connection = service.connect()
                connection.sendall(request(b"%d" % number))
                connections.append(connection)
                selector.register(connection, selectors.EVENT_READ)
            statuses: Counter[int | None] = Counter()
            while selector.get_map():
                for key, _ in selector.select(timeout=30):
                    assert isinstance(key.fileobj, socket.socket)
                    answer = answer_on(key.fileobj)
                    statuses[answer.status if answer else None] += 1
                    selector.unregister(key.fileobj)
            assert statuses == {200: count}
            for connection in connections:
                connection.close()
            assert service.stop() == 0
        assert {record.value for record in records(stack.bootstrap_servers, TOPIC)} == {b"%d" % n for n in range(count)}
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
