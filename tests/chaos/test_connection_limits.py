"""More connections than descriptors or settings allow: said, counted, not ready, no busy loop, and then over."""

import contextlib
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.support.endpoint import SIGNED, UNSIGNED, Endpoint, endpoint
from tests.support.kafka import Kafka, TopicMaker
from tests.support.waiting import PATIENCE_S

OPEN_FILES = 120
BLOCKED = 'sternpost_ingest_accept_blocked_total{{reason="{}"}}'
NOT_ACCEPTED = "connections wait and none is accepted"


@pytest.fixture
def topic(kafka: Kafka) -> Iterator[str]:
    maker = TopicMaker(kafka)
    yield maker.one()
    maker.remove()


@contextlib.contextmanager
def idle(service: Endpoint, count: int) -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        for _ in range(count):
            stack.enter_context(service.connect())
        yield


def ready(service: Endpoint) -> bool:
    return service.admin("/readyz")[0] == 200


def worker_of(service: Endpoint) -> psutil.Process:
    children = psutil.Process(service.process.pid).children()
    (worker,) = [child for child in children if "spawn_main" in " ".join(child.cmdline())]
    return worker


@pytest.mark.parametrize("reason", ["open_files", "max_connections"])
def test_connections_that_are_not_accepted_make_it_not_ready(
    kafka: Kafka, topic: str, tmp_path: Path, reason: str
) -> None:
    limits = {"open_files": OPEN_FILES} if reason == "open_files" else {"max_connections": 40}
    with endpoint(tmp_path, kafka.bootstrap_servers, topic, **limits) as service:  # type: ignore[arg-type]
        worker = worker_of(service)
        with idle(service, 150):
            line = service.logged(NOT_ACCEPTED)
            assert line["reason"] == reason
            service.wait_until(lambda: f"{reason}: {line['limit']}" in service.admin("/readyz")[1])
            assert not ready(service)
            assert line["waiting"] > 0
            blocked = BLOCKED.format(reason)
            service.wait_until(lambda: service.metric(blocked) >= 1)
            # It waits, rather than try again and again: in two looks of a second, the processor's time is hardly used.
            before, looks = sum(worker.cpu_times()[:2]), service.metric(blocked)
            service.wait_until(lambda: service.metric(blocked) >= looks + 2)
            assert sum(worker.cpu_times()[:2]) - before < 0.5 * (service.metric(blocked) - looks)
            assert worker.num_fds() <= OPEN_FILES
            assert service.admin("/healthz")[0] == 200
        service.wait_until(lambda: ready(service))
        service.logged("connections are accepted again")
        assert service.post().status == 200
        assert len([one for one in service.log() if one["event"] == NOT_ACCEPTED]) == 1
        assert service.stop() == 0


def test_sources_are_reloaded_while_no_connection_is_accepted(kafka: Kafka, topic: str, tmp_path: Path) -> None:
    with endpoint(tmp_path, kafka.bootstrap_servers, topic, open_files=OPEN_FILES, sources=[SIGNED]) as service:
        with idle(service, 150):
            service.logged(NOT_ACCEPTED)
            service.configure([SIGNED, UNSIGNED])
            service.logged("sources reloaded")
        service.wait_until(lambda: ready(service))
        assert service.post(headers={}, query="writeKey=open-key").status == 200


def test_a_file_that_could_not_be_read_is_tried_again(kafka: Kafka, topic: str, tmp_path: Path) -> None:
    """As when no descriptor is left: what is there is no different from before, yet it has not been read."""
    with endpoint(tmp_path, kafka.bootstrap_servers, topic, sources=[SIGNED]) as service:
        worker = worker_of(service)
        soft, hard = worker.rlimit(psutil.RLIMIT_NOFILE)
        worker.rlimit(psutil.RLIMIT_NOFILE, (1, hard))
        service.configure([SIGNED, UNSIGNED])
        service.logged("sources not reloaded, the old ones stay in force")
        failed = 'sternpost_ingest_reloads_total{result="failed"}'
        service.wait_until(lambda: service.metric(failed) >= 2)
        worker.rlimit(psutil.RLIMIT_NOFILE, (soft, hard))
        service.logged("sources reloaded")
        service.wait_until(lambda: ready(service))
        assert service.post(headers={}, query="writeKey=open-key").status == 200
        assert len([one for one in service.log() if "not reloaded" in one["event"]]) == 1


def test_a_limit_that_does_not_fit_is_said_at_the_start(kafka: Kafka, topic: str, tmp_path: Path) -> None:
    with endpoint(tmp_path / "low", kafka.bootstrap_servers, topic, open_files=OPEN_FILES, workers=2) as service:
        (warning,) = [line for line in service.log() if "does not fit" in line["event"]]
        assert (warning["level"], warning["open_files"], warning["max_connections"]) == ("warning", OPEN_FILES, 16_384)
        assert 0 < warning["fits"] < OPEN_FILES
    with endpoint(tmp_path / "fits", kafka.bootstrap_servers, topic, max_connections=100) as service:
        assert [line for line in service.log() if line["level"] != "info"] == []


def test_no_room_for_any_connection_is_a_wrong_setting(kafka: Kafka, topic: str, tmp_path: Path) -> None:
    with endpoint(tmp_path, kafka.bootstrap_servers, topic, open_files=45, wait=False) as service:
        assert service.process.wait(PATIENCE_S) == 78
        (stopped,) = [line for line in service.log() if line["event"] == "stopped"]
        assert "ulimit -n" in stopped["error"]


def test_the_admin_listener_keeps_room_for_workers(kafka: Kafka, topic: str, tmp_path: Path) -> None:
    with endpoint(tmp_path, kafka.bootstrap_servers, topic, open_files=OPEN_FILES) as service:
        held = [socket.create_connection(("127.0.0.1", service.admin_port)) for _ in range(150)]
        worker = worker_of(service)
        os.kill(worker.pid, signal.SIGKILL)
        service.logged("worker ended")
        service.wait_until(lambda: _new_worker(service, worker.pid) and service.post().status == 200)
        for connection in held:
            connection.close()
        service.wait_until(lambda: ready(service))
        assert service.metric('sternpost_admin_accept_failures_total{error="too_many"}') > 0
        assert len([line for line in service.log() if "admin listener" in line["event"]]) == 1


def test_the_parent_without_descriptors_starts_workers_again_when_it_can(
    kafka: Kafka, topic: str, tmp_path: Path
) -> None:
    with endpoint(tmp_path, kafka.bootstrap_servers, topic) as service:
        parent, worker = psutil.Process(service.process.pid), worker_of(service)
        soft, hard = parent.rlimit(psutil.RLIMIT_NOFILE)
        parent.rlimit(psutil.RLIMIT_NOFILE, (3, hard))  # the standard streams: no other number may be free
        os.kill(worker.pid, signal.SIGKILL)
        service.logged("worker not started")
        with socket.create_connection(("127.0.0.1", service.admin_port)):  # which cannot be accepted either
            service.logged("the admin listener cannot take connections")
            parent.rlimit(psutil.RLIMIT_NOFILE, (soft, hard))
        service.wait_until(lambda: ready(service))
        assert service.post().status == 200
        assert service.metric('sternpost_admin_accept_failures_total{error="EMFILE"}') > 0
        assert service.stop() == 0


def _new_worker(service: Endpoint, old: int) -> bool:
    with contextlib.suppress(ValueError):  # none, for now
        return worker_of(service).pid != old
    return False
