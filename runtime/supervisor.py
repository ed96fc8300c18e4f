"""One service on one machine: a parent that keeps N worker processes, and the admin listener, going.

    parent ── admin listener: /healthz /readyz /metrics
      ├── worker 0 ── the service
      └── worker 1 ── the service

A worker that crashes is started again, after a pause that doubles; one that stops itself with a SternpostError ends
the service with that error's exit code, since starting it again would not help. SIGTERM and SIGINT reach the workers
as a request to stop; so does the parent's death, by the end of the pipe between them, so none is ever left behind.
SIGHUP is passed on.
"""

import contextlib
import multiprocessing
import os
import resource
import signal
import threading
import time
from collections.abc import Callable, Collection
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from types import FrameType
from typing import Any

import structlog

from runtime import logs, metrics, systemd
from runtime.errors import SternpostError
from runtime.heartbeat import Heartbeat
from runtime.settings.model import Settings

FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 30.0
STABLE_AFTER_S = 60.0
"""A worker that ran this long before it crashed is started again with the first pause."""

Target = Callable[["Worker"], None]
_spawn = multiprocessing.get_context("spawn")  # a fork would copy threads and librdkafka handles half-alive


class Worker:
    """A worker process's own end: what it is to do, whether it is to stop, how it is."""

    def __init__(self, index: int, settings: Settings, pipe: "Connection[Any, Any]", heartbeat: Heartbeat) -> None:
        self.index = index
        """0 … workers - 1, the same after a restart."""
        self.settings = settings
        self.stopping = threading.Event()
        """Set once the worker is to finish what it has in hand and return."""
        self._pipe = pipe
        self._heartbeat = heartbeat
        self._said: tuple[bool, str] | None = None
        self.orphaned = False
        """Whether the parent is gone."""

    def ready(self, ready: bool, reason: str = "") -> None:
        """Says whether this worker can do its work now; the service is ready while all of its workers are."""
        if self._said != (ready, reason):
            self._said = (ready, reason)
            with contextlib.suppress(OSError):  # the parent is gone: `stopping` tells
                self._pipe.send((ready, reason))

    def beat(self) -> None:
        """Says that the worker's loop goes round; without a beat for `liveness_timeout_s` it counts as hung."""
        self._heartbeat.beat()
        logs.count_dropped()

    def watch(self) -> None:
        """Sets `stopping` on SIGTERM and when the parent goes; Ctrl-C is the parent's to pass on."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # a service that reloads takes it over
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGHUP])
        signal.signal(signal.SIGTERM, lambda *_: self.stopping.set())
        threading.Thread(target=self._await_parents_death, daemon=True, name="parent-watch").start()

    def _await_parents_death(self) -> None:
        with contextlib.suppress(EOFError, OSError):
            self._pipe.recv()
        self.orphaned = True
        self.stopping.set()


class _Slot:
    """The parent's end of one worker: its process now, and those before it."""

    def __init__(self, index: int, service: str, target: Target, settings: Settings) -> None:
        self.index = index
        self.arguments = (service, target, index, settings)
        self.heartbeat = Heartbeat()
        self.pause_s = FIRST_PAUSE_S
        self.start_at: float | None = 0.0
        """When to start it next; None while it runs or is not to run again."""
        self.ready, self.reason = False, "starting"
        self.process: BaseProcess | None = None
        self.pipe: Connection[Any, Any] | None = None

    def start(self) -> None:
        """Raises OSError if the system has no process, memory or descriptor left for it."""
        self.started_at = time.monotonic()
        self.heartbeat.beat()
        self.start_at = None
        self.ready, self.reason = False, "starting"
        ours, theirs = _spawn.Pipe()
        process = _spawn.Process(target=_run, args=(*self.arguments, theirs, self.heartbeat), daemon=False)
        # Both are inherited: no Ctrl-C, and no hang-up of the terminal, before the worker can handle it.
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGHUP])
        try:
            process.start()
        except OSError:
            ours.close()
            raise
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGHUP])
            signal.signal(signal.SIGINT, before)
            theirs.close()
        self.pipe, self.process = ours, process

    def restart_later(self, now: float) -> None:
        """After a pause, which doubles up to LONGEST_PAUSE_S."""
        if now - self.started_at > STABLE_AFTER_S:
            self.pause_s = FIRST_PAUSE_S
        self.start_at = now + self.pause_s
        self.pause_s = min(2 * self.pause_s, LONGEST_PAUSE_S)

    def read(self) -> None:
        """Takes what the worker said of itself."""
        try:
            while self.pipe is not None and self.pipe.poll():
                self.ready, self.reason = self.pipe.recv()
        except (EOFError, OSError):
            self.pipe = None

    def signal(self, number: int) -> None:
        if self.process is not None and self.process.exitcode is None and self.process.pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.process.pid, number)

    def ended(self) -> tuple[int, int] | None:
        """Its process id and exit code, once; a negative code is the signal that ended it."""
        if self.process is None or self.process.exitcode is None:
            return None
        pid, code = self.process.pid or 0, self.process.exitcode
        self.process.close()
        self.process, self.ready, self.reason = None, False, f"ended with {code}"
        if self.pipe is not None:
            self.pipe.close()
            self.pipe = None
        return pid, code


def supervise(
    service: str,
    target: Target,
    workers: int,
    settings: Settings,
    *,
    admin: tuple[str, int],
    stop_timeout_s: float,
    liveness_timeout_s: float = 60.0,
    passing: Collection[int] = (),
) -> int:
    """Runs `target` in `workers` processes until SIGTERM or SIGINT, and gives the exit code.

    `target` is a module-level function, called in each process with its Worker; it returns once `stopping` is set.
    Workers still there `stop_timeout_s` after the request to stop are killed. `admin` is host and port of the
    admin listener. A worker that ends with one of the codes `passing` is started again where one was ready before.
    """
    from runtime import admin_listener

    log = structlog.get_logger()
    wake_read, wake_write = os.pipe()
    stop_at: list[float] = []
    slots = [_Slot(index, service, target, settings) for index in range(workers)]

    def stop(number: int, _: FrameType | None) -> None:
        if not stop_at:
            stop_at.append(time.monotonic() + stop_timeout_s)
            for slot in slots:
                slot.signal(signal.SIGTERM)
        os.write(wake_write, b"\0")

    def pass_on(number: int, _: FrameType | None) -> None:
        for slot in slots:
            slot.signal(number)

    def alive() -> tuple[bool, str]:
        now = time.monotonic()
        hung = [s.index for s in slots if s.process and now - s.heartbeat.last() > liveness_timeout_s]
        return (False, f"no heartbeat from worker {hung[0]}") if hung else (True, "")

    def ready() -> tuple[bool, str]:
        if stop_at:
            return False, "stopping"
        waiting = [f"worker {s.index}: {s.reason or 'not ready'}" for s in slots if not s.ready]
        return not waiting, "; ".join(waiting)

    logs.take_over_streams()
    metrics.enable_multiprocess()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    signal.signal(signal.SIGHUP, pass_on)
    listener = admin_listener.serve(*admin, ready=ready, alive=alive)
    log.info("started", workers=workers, admin_port=listener.port, pid=os.getpid())
    code, been_ready = 0, False
    notifier = systemd.Notifier()
    try:
        while True:
            now = time.monotonic()
            for slot in slots:
                slot.read()
                been_ready = been_ready or slot.ready
                if (ended := slot.ended()) is not None:
                    pid, worker_code = ended
                    log_at = log.info if stop_at and worker_code == 0 else log.error
                    log_at("worker ended", worker=slot.index, exit_code=worker_code)
                    metrics.mark_process_dead(pid)
                    if stop_at:
                        code = code or max(0, worker_code)
                    elif worker_code in _final_codes() and not (worker_code in passing and been_ready):
                        code = worker_code
                        stop(signal.SIGTERM, None)
                    else:
                        slot.restart_later(now)
                if not stop_at and slot.start_at is not None and now >= slot.start_at:
                    try:
                        slot.start()
                    except OSError as error:
                        log.error("worker not started", worker=slot.index, error=str(error))  # noqa: TRY400
                        slot.reason = f"not started: {error}"
                        slot.restart_later(now)
                    if stop_at:  # asked for while it had no process id yet
                        slot.signal(signal.SIGTERM)
            running = [slot for slot in slots if slot.process is not None]
            if stop_at and not running:
                return code
            is_ready, reason = ready()
            notifier.tell(ready=is_ready, reason=reason, stopping=bool(stop_at))
            if stop_at and now > stop_at[0]:
                log.error("killing workers that did not stop in time", workers=[slot.index for slot in running])
                for slot in running:
                    slot.signal(signal.SIGKILL)
                stop_at[0] = now + stop_timeout_s
                code = code or 1
            deadlines = [s.start_at for s in slots if s.start_at is not None and not stop_at] + stop_at[:1]
            timeout = max(0.0, min(deadlines) - now) if deadlines else None
            waited: list[Any] = [wake_read]
            for slot in running:
                waited += [slot.process.sentinel, *([slot.pipe] if slot.pipe else [])]  # type: ignore[union-attr]
            if wake_read in wait(waited, timeout):
                os.read(wake_read, 4096)
    finally:
        listener.close()


def raise_file_limit() -> None:
    """Lets the process open as many files as it may: thousands of connections, and files of each partition's state, are
    more than the 1,024 of most shells and services."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _final_codes() -> set[int]:
    """Exit codes after which starting the worker again would not help: those of our own errors but the plain 1."""
    return {error.exit_code for error in SternpostError.__subclasses__()} - {1}


def _run(service: str, target: Target, index: int, settings: Settings, pipe: Any, heartbeat: Heartbeat) -> None:
    """A worker process."""
    raise_file_limit()
    metrics.open_counters()
    worker = Worker(index, settings, pipe, heartbeat)
    worker.watch()
    logs.configure(settings.log, service=service, worker=index)
    logs.take_over_streams()
    log = structlog.get_logger()
    try:
        target(worker)
    except SternpostError as error:
        log.error("stopped", error=str(error))  # noqa: TRY400 (a message for people, not a fault of ours)
        raise SystemExit(error.exit_code) from None
    except Exception:
        log.exception("crashed")
        raise SystemExit(1) from None
    finally:
        logs.count_dropped()
        if worker.orphaned:
            metrics.remove_shared_folder()
