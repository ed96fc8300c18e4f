"""A real parent with real workers, told to do as a service's would."""

import json
import os
import re
import resource
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from runtime.settings.model import Settings
from runtime.supervisor import STABLE_AFTER_S, START_S, Supervisor, Worker, WorkerProcess, WorkerState
from runtime.systemd import SOCKET_VARIABLE
from tests.support import notify_socket
from tests.support.waiting import PATIENCE_S, until


class Service:
    def __init__(self, folder: Path, order: str = "run", **environment: str) -> None:
        self.folder = folder
        (folder / "order").write_text(order)
        self.log = (folder / "log").open("wb")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.supervised"],
            env={**os.environ, "SUPERVISED_FOLDER": str(folder), **environment},
            stderr=self.log,
            cwd=Path(__file__).parents[2],
        )

    def lines(self) -> list[dict[str, Any]]:
        return [
            json.loads(line)
            for line in (self.folder / "log").read_text().splitlines()
            if line.startswith("{") and line.endswith("}")
        ]

    def pid(self, worker: int) -> int:
        file = self.folder / f"worker-{worker}.pid"
        return int(until(lambda: file.exists() and file.read_text()))

    def admin(self, path: str) -> tuple[int, str]:
        started = until(lambda: [line for line in self.lines() if line["event"] == "started"])
        try:
            with urllib.request.urlopen(
                f"http://127.0.0.1:{started[0]['admin_port']}{path}", timeout=PATIENCE_S
            ) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def close(self) -> None:
        pids = (
            [psutil.Process(self.process.pid), *psutil.Process(self.process.pid).children(recursive=True)]
            if (self.process.poll() is None)
            else []
        )
        for process in pids:
            process.kill()
        self.process.wait()
        self.log.close()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Service]]:
    services: list[Service] = []

    def starter(order: str = "run", **environment: str) -> Service:
        services.append(Service(tmp_path, order, **environment))
        return services[-1]

    yield starter
    for service in services:
        service.close()


def gone(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_request_to_stop_lets_every_worker_finish(start: Callable[..., Service], number: signal.Signals) -> None:
    service = start()
    until(lambda: service.admin("/readyz")[0] == 200)
    service.process.send_signal(number)
    assert service.process.wait(PATIENCE_S) == 0
    assert sorted(file.name for file in service.folder.glob("*.stopped")) == ["worker-0.stopped", "worker-1.stopped"]


def test_ctrl_c_in_a_terminal_reaches_all_processes_and_still_lets_workers_finish(
    start: Callable[..., Service],
) -> None:
    service = start()
    until(lambda: service.admin("/readyz")[0] == 200)
    for worker in (0, 1):
        os.kill(service.pid(worker), signal.SIGINT)
    service.process.send_signal(signal.SIGINT)
    assert service.process.wait(PATIENCE_S) == 0
    assert len(list(service.folder.glob("*.stopped"))) == 2
    assert "KeyboardInterrupt" not in (service.folder / "log").read_text()


def test_workers_finish_and_go_when_the_parent_is_killed(start: Callable[..., Service]) -> None:
    service = start()
    until(lambda: service.admin("/readyz")[0] == 200)
    pids = [service.pid(0), service.pid(1)]
    service.process.kill()
    service.process.wait()
    until(lambda: all(gone(pid) for pid in pids))
    assert len(list(service.folder.glob("*.stopped"))) == 2


def test_a_crashed_worker_is_started_again_and_the_service_is_not_ready_meanwhile(
    start: Callable[..., Service],
) -> None:
    service = start("crash-once")
    until(lambda: service.admin("/readyz")[0] == 200)
    ended = [line for line in service.lines() if line["event"] == "worker ended"]
    assert [(line["worker"], line["exit_code"]) for line in ended] == [(0, 1)]
    assert any(line["event"] == "crashed" and "ValueError" in line["exception"] for line in service.lines())
    kept = [(service.folder / f"worker-{index}.kept").read_text() for index in range(2)]
    assert kept == ["of worker 0", "None"], "what the process before left, and what none did"


def test_a_killed_worker_is_started_again(start: Callable[..., Service]) -> None:
    service = start()
    until(lambda: service.admin("/readyz")[0] == 200)
    first = service.pid(1)
    os.kill(first, signal.SIGKILL)
    until(lambda: service.pid(1) != first and service.admin("/readyz")[0] == 200)


def test_a_worker_that_stops_itself_ends_the_service_with_its_code(start: Callable[..., Service]) -> None:
    service = start("halt")
    assert service.process.wait(PATIENCE_S) == 70
    stopped = [line for line in service.lines() if line["event"] == "stopped"]
    assert [line["error"] for line in stopped] == ["too many of something"]
    assert {line["worker"] for line in service.lines() if line["event"] == "worker ended"} == {0, 1}


def test_a_worker_that_finds_nothing_to_depend_on_does_not_end_others_that_did(start: Callable[..., Service]) -> None:
    service = start("dependency-once")
    until(lambda: service.admin("/readyz")[0] == 200)
    other = service.pid(1)
    (service.folder / "crash").touch()
    until(lambda: len([line for line in service.lines() if line["event"] == "worker ended"]) == 2)
    until(lambda: service.admin("/readyz")[0] == 200)
    assert [line["exit_code"] for line in service.lines() if line["event"] == "worker ended"] == [1, 69]
    assert service.pid(1) == other


def test_a_service_that_never_had_what_it_depends_on_ends(start: Callable[..., Service]) -> None:
    assert start("dependency").process.wait(PATIENCE_S) == 69


def test_a_worker_that_does_not_stop_is_killed_and_that_is_said(start: Callable[..., Service]) -> None:
    service = start("ignore-stop", SUPERVISED_STOP_TIMEOUT_S="0.3")
    until(lambda: service.admin("/readyz")[0] == 200)
    service.process.terminate()
    assert service.process.wait(PATIENCE_S) == 1
    assert any("did not stop in time" in line["event"] for line in service.lines())


def test_a_hung_worker_is_not_alive_and_a_busy_one_is(start: Callable[..., Service]) -> None:
    service = start("hang", SUPERVISED_LIVENESS_TIMEOUT_S="0.5")
    until(lambda: service.admin("/healthz")[0] == 503)
    assert "no heartbeat from worker" in service.admin("/healthz")[1]


def test_a_hung_worker_says_where_it_stands_and_is_started_again(start: Callable[..., Service]) -> None:
    service = start("hang-once", SUPERVISED_LIVENESS_TIMEOUT_S="2", SUPERVISED_LOOK_AGAIN_S="5")
    until(lambda: any(line["event"] == "worker ended" for line in service.lines()))
    until(lambda: service.admin("/readyz")[0] == 200 and service.admin("/healthz")[0] == 200)
    assert any(line["event"] == "killing a worker that hangs" for line in service.lines())
    ended = [(line["worker"], line["exit_code"]) for line in service.lines() if line["event"] == "worker ended"]
    assert (0, -signal.SIGKILL) in ended
    # Lines of the parent may be within one of the stacks, which the worker writes piece by piece.
    stacks = re.sub(r"\{.*\}\n", "", (service.folder / "log").read_text())
    assert re.search(r'supervised\.py", line \d+ in work$', stacks, re.MULTILINE)


def test_a_worker_that_stood_still_with_its_machine_is_left_alone(start: Callable[..., Service]) -> None:
    service = start("run", SUPERVISED_LIVENESS_TIMEOUT_S="1")
    until(lambda: service.admin("/readyz")[0] == 200)
    workers = [service.pid(0), service.pid(1)]
    before = silences(service)
    for pid in workers:
        os.kill(pid, signal.SIGSTOP)
    # The parent goes on first, and finds their last signs of life as old as after a long standstill of all.
    until(lambda: (silences(service) - before).keys() == {0, 1})
    for pid in workers:
        os.kill(pid, signal.SIGCONT)
    until(lambda: service.admin("/healthz")[0] == 200)
    assert [service.pid(0), service.pid(1)] == workers
    assert not [line for line in service.lines() if line["event"] == "worker ended"]


def silences(service: Service) -> Counter[int]:
    """How often no sign of life of each worker was noticed."""
    return Counter(line["worker"] for line in service.lines() if line["event"].startswith("no heartbeat"))


def test_a_working_service_is_alive_and_ready(start: Callable[..., Service]) -> None:
    service = start()
    until(lambda: service.admin("/readyz") == (200, "ok\n"))
    assert service.admin("/healthz") == (200, "ok\n")


def test_workers_collect_garbage(start: Callable[..., Service]) -> None:
    service = start()
    until(lambda: service.admin("/readyz")[0] == 200)
    assert [file.read_text() for file in service.folder.glob("*.collects")] == ["True", "True"]


def test_workers_may_open_as_many_files_as_the_system_lets_them(start: Callable[..., Service]) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 512), hard))
    try:
        service = start()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    until(lambda: service.admin("/readyz")[0] == 200)
    assert psutil.Process(service.pid(0)).rlimit(psutil.RLIMIT_NOFILE) == (hard, hard)


def test_a_signal_that_another_thread_gets_wakes_the_main_one(start: Callable[..., Service]) -> None:
    service = start("run", SUPERVISED_SIGNAL_IN_A_THREAD="1")
    until(lambda: service.admin("/readyz")[0] == 200)
    (service.folder / "stop").touch()
    assert service.process.wait(PATIENCE_S) == 0


def test_systemd_hears_that_it_started_then_that_it_is_ready_and_that_it_stops(start: Callable[..., Service]) -> None:
    with notify_socket.listening() as systemd:
        service = start("run", **{SOCKET_VARIABLE: systemd.address})
        assert systemd.heard().startswith("READY=1\nSTATUS=not ready: worker 0: starting")
        while (said := systemd.heard()) != "READY=1\nSTATUS=ready\n":
            assert "not ready" in said
        service.process.send_signal(signal.SIGTERM)
        assert systemd.heard() == "STOPPING=1\nSTATUS=not ready: stopping\n"
        assert service.process.wait(PATIENCE_S) == 0


def nothing(_: Worker) -> None:
    """Do nothing."""


def test_a_worker_that_keeps_crashing_is_started_after_longer_and_longer_pauses() -> None:
    worker = WorkerProcess(0, "test", nothing, Settings())
    assert worker.state is WorkerState.WAITING
    pauses = []
    for _ in range(8):
        worker.restart_later(now=0.0)
        assert worker.start_at is not None
        pauses.append(worker.start_at)
    assert pauses == [1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0]
    worker.restart_later(now=STABLE_AFTER_S + 1)  # it ran for long before that
    assert worker.start_at == STABLE_AFTER_S + 1 + 1.0


def test_a_worker_that_starts_does_not_count_as_hung_for_longer() -> None:
    worker = WorkerProcess(0, "test", nothing, Settings())
    before = time.monotonic()
    worker.start()
    after = time.monotonic()
    assert worker.process is not None
    worker.process.join()
    assert not worker.is_hung(before + START_S, liveness_timeout_s=1)
    assert worker.is_hung(after + START_S + 1.1, liveness_timeout_s=1)
    worker.take_exit()


def test_what_a_supervisor_is_can_be_read() -> None:
    supervisor = Supervisor("test", nothing, 2, Settings(), stop_timeout_s=1, liveness_timeout_s=1)
    assert [worker.state for worker in supervisor.workers] == [WorkerState.WAITING] * 2
    assert not supervisor.running
    assert supervisor.alive() == (True, ""), "what does not run cannot hang"
    assert supervisor.ready() == (False, "worker 0: starting; worker 1: starting")
    for worker in supervisor.workers:
        worker.ready = True
    assert supervisor.ready() == (True, "")
    supervisor.stop()
    assert supervisor.stopping
    first = supervisor.stop_at
    supervisor.stop()
    assert supervisor.stop_at == first, "a second request does not put the end off"
    assert supervisor.ready() == (False, "stopping")
