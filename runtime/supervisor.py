"""One service on one machine: a parent that keeps N worker processes, and the admin listener, running.

Both sides of a worker are here: `WorkerProcess` in the parent, and `Worker`, which the process itself is given.

    parent ── admin listener: /healthz /readyz /metrics
      ├── worker 0 ── the service
      └── worker 1 ── the service

What restarts what

| what ends                                     | what happens                                                         |
| a membership or producer within a processor's | the worker makes both again, after 0.5 to 10 s                       |
| worker                                        | (processor/restart_policy.py); its process stays                     |
| a worker process: a crash, a kill, exit code 1| the supervisor starts it again, after 1 to 30 s                      |
| nothing: a worker gives no sign of life       | the supervisor has it log the stacks of its threads, kills it if it  |
|                                               | gives none for another LOOK_AGAIN_S, and starts it again             |
| a worker process, by its own SternpostError   | the service ends with that error's exit code: starting again would   |
|                                               | not help. Only a code in `passing`, once a worker was ready, is      |
|                                               | treated as a crash                                                   |
| the parent                                    | every worker sees the pipe to it close, finishes and ends            |
| the service                                   | systemd, Kubernetes or a person starts it again                      |

There are two restarts because they cost differently. A broker that is away for a while breaks clients, not processes:
making only the clients again keeps the compiled pipeline, the schema and the open state, and the other workers
undisturbed. A fault of ours (a crash, memory, a native library) may have left anything behind in the process, so only a
new process will do.

SIGTERM and SIGINT reach the workers as a request to stop. SIGHUP is passed on.
"""

import contextlib
import enum
import faulthandler
import gc
import multiprocessing
import os
import resource
import signal
import threading
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from types import FrameType
from typing import Any, NamedTuple

import structlog

from runtime import admin_listener, logs, metrics, systemd
from runtime.errors import SternpostError
from runtime.heartbeat import Heartbeat
from runtime.settings.model import Settings

FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 30.0
STABLE_AFTER_S = 60.0
"""A worker that ran this long before it crashed is started again with the first pause."""

START_S = 120.0
"""How much longer a worker that starts may take until its first sign of life: it reads its code from a slow disk, or
waits for brokers."""

LOOK_AGAIN_S = 10.0
"""How long a worker that seems to hang has to give a sign of life before it is killed. If the whole machine or
container stood still, its last one is old, and the next comes as soon as all goes on."""

log = structlog.get_logger()

Target = Callable[["Worker"], None]
"""What a worker process does: a module-level function that returns once `Worker.stopping` is set."""

_spawn = multiprocessing.get_context("spawn")  # a fork would copy threads and librdkafka handles half-alive


class _Kept(NamedTuple):
    value: Any


class Worker:
    """What a target is given: its settings, whether to stop, and how to say how it is."""

    def __init__(
        self, index: int, settings: Settings, kept: Any, pipe: "Connection[Any, Any]", heartbeat: Heartbeat
    ) -> None:
        self.index = index
        """0 … workers - 1, the same after a restart."""
        self.settings = settings
        self.kept = kept
        """What the process before this one gave to `keep`; None if there was none, or it gave nothing."""
        self.stopping = threading.Event()
        """Set once the worker is to finish what it has in hand and return."""
        self._pipe = pipe
        self._heartbeat = heartbeat
        self._last_report: tuple[bool, str] | None = None
        self.orphaned = False
        """Whether the parent has ended."""

    def ready(self, ready: bool, reason: str = "") -> None:
        """Report whether this worker can do its work now; the service is ready while all of its workers are."""
        if self._last_report != (ready, reason):
            self._last_report = (ready, reason)
            with contextlib.suppress(OSError):  # the parent has ended, which sets `stopping`
                self._pipe.send((ready, reason))

    def keep(self, value: object) -> None:
        """Give something to the process that takes this one's place if it crashes."""
        with contextlib.suppress(OSError):
            self._pipe.send(_Kept(value))

    def beat(self) -> None:
        """Report that the worker's loop is running; without a beat for `liveness_timeout_s` it counts as hung."""
        self._heartbeat.beat()
        logs.count_dropped()

    def watch(self) -> None:
        """Have `stopping` set on SIGTERM and when the parent ends; the parent passes Ctrl-C on as SIGTERM."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # a service that reloads takes it over
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGHUP])
        signal.signal(signal.SIGTERM, lambda *_: self.stopping.set())
        threading.Thread(target=self._await_parents_end, daemon=True, name="parent-watch").start()

    def _await_parents_end(self) -> None:
        with contextlib.suppress(EOFError, OSError):
            self._pipe.recv()
        self.orphaned = True
        self.stopping.set()


def _run_worker(
    service: str, target: Target, index: int, settings: Settings, kept: Any, pipe: Any, heartbeat: Heartbeat
) -> None:
    """Be a worker process: run the target, and exit with the code of the error that ended it."""
    gc.enable()  # the command line disables it until all is imported
    faulthandler.register(signal.SIGUSR1, logs.STANDARD_ERROR)  # writes from C, even if no Python code gets to run
    # Thousands of connections, and the state files of each partition, need more open files than the usual 1,024.
    _, most_files = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most_files, most_files))
    worker = Worker(index, settings, kept, pipe, heartbeat)
    worker.watch()
    logs.configure(settings.log, service=service, worker=index)
    logs.take_over_streams()
    try:
        metrics.open_counters()
        target(worker)
    except SternpostError as error:
        log.error("stopped", error=str(error))  # noqa: TRY400 (a message for people: no traceback)
        raise SystemExit(error.exit_code) from None
    except Exception:
        log.exception("crashed")
        raise SystemExit(1) from None
    finally:
        logs.count_dropped()
        if worker.orphaned:
            metrics.remove_shared_folder()


class WorkerState(enum.Enum):
    """Where a worker process is in its life."""

    WAITING = "waiting"
    """It is to be started at `start_at`."""
    RUNNING = "running"
    ENDED = "ended"
    """It is not started again unless someone calls `restart_later`."""


class WorkerProcess:
    """The supervisor's side of one worker: its process now, and those before it."""

    def __init__(self, index: int, service: str, target: Target, settings: Settings) -> None:
        self.index = index
        self.heartbeat = Heartbeat()
        self.start_at: float | None = 0.0
        """When to start it next, as `time.monotonic()`; None while it runs or is not to run again."""
        self.look_again_at: float | None = None
        """When to kill it if it still hangs, as `time.monotonic()`; None while it does not seem to hang."""
        self.ready, self.reason = False, "starting"
        self.process: BaseProcess | None = None
        self._pipe: Connection[Any, Any] | None = None
        self._arguments = (service, target, index, settings)
        self._kept: object = None
        self._started_at = 0.0
        self._pause_s = FIRST_PAUSE_S

    @property
    def state(self) -> WorkerState:
        """Where it is in its life."""
        if self.process is not None:
            return WorkerState.RUNNING
        return WorkerState.WAITING if self.start_at is not None else WorkerState.ENDED

    def start(self) -> None:
        """Start the process. Raises OSError if the system has no process, memory or descriptor left for it."""
        self._started_at = time.monotonic()
        self.heartbeat.beat(ahead_s=START_S)
        self.start_at = None
        self.ready, self.reason = False, "starting"
        ours, theirs = _spawn.Pipe()
        process = _spawn.Process(
            target=_run_worker, args=(*self._arguments, self._kept, theirs, self.heartbeat), daemon=False
        )
        try:
            with _signals_held_back():
                process.start()
        except OSError:
            ours.close()
            raise
        finally:
            theirs.close()
        self._pipe, self.process = ours, process

    def restart_later(self, now: float) -> None:
        """Set `start_at` after a pause, which doubles up to LONGEST_PAUSE_S."""
        if now - self._started_at > STABLE_AFTER_S:
            self._pause_s = FIRST_PAUSE_S
        self.start_at = now + self._pause_s
        self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)

    def read_reports(self) -> None:
        """Take over what the worker reported about itself."""
        try:
            while self._pipe is not None and self._pipe.poll():
                message = self._pipe.recv()
                if isinstance(message, _Kept):
                    self._kept = message.value
                else:
                    self.ready, self.reason = message
        except (EOFError, OSError):
            self._pipe = None

    def is_hung(self, now: float, liveness_timeout_s: float) -> bool:
        """Return whether it runs and has not given a sign of life for so long."""
        return self.state is WorkerState.RUNNING and now - self.heartbeat.last() > liveness_timeout_s

    def signal(self, number: int) -> None:
        """Send a signal to the process, if it is running."""
        if self.process is not None and self.process.exitcode is None and self.process.pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.process.pid, number)

    def take_exit(self) -> tuple[int, int] | None:
        """Return process id and exit code, once, if the process has ended; a negative code is the signal's."""
        if self.process is None or self.process.exitcode is None:
            return None
        self.read_reports()  # its last ones
        pid, code = self.process.pid or 0, self.process.exitcode
        self.process.close()
        self.process, self.ready, self.reason = None, False, f"ended with {code}"
        if self._pipe is not None:
            self._pipe.close()
            self._pipe = None
        return pid, code

    def waitables(self) -> list[Any]:
        """Return what becomes ready when the process ends or reports something."""
        sentinel = [] if self.process is None else [self.process.sentinel]
        return [*sentinel, *([self._pipe] if self._pipe else [])]


class Supervisor:
    """The parent."""

    def __init__(
        self,
        service: str,
        target: Target,
        workers: int,
        settings: Settings,
        *,
        stop_timeout_s: float,
        liveness_timeout_s: float = 60.0,
        passing: Collection[int] = (),
    ) -> None:
        """Run `target` in `workers` processes.

        `target` is a module-level function, called in each process with its Worker; it returns once `stopping` is set.
        Workers that are still running `stop_timeout_s` after the request to stop are killed. A worker that ends with
        one of the codes `passing` is started again if one was ready before.
        """
        self.workers = [WorkerProcess(index, service, target, settings) for index in range(workers)]
        self.stop_at: float | None = None
        """When workers that are still running are killed, as `time.monotonic()`; None until asked to stop."""
        self.exit_code = 0
        self._stop_timeout_s = stop_timeout_s
        self._liveness_timeout_s = liveness_timeout_s
        self._restarted_codes = frozenset(passing)
        self._been_ready = False
        self._wake_read, self._wake_write = os.pipe()
        self._notifier = systemd.Notifier()

    @property
    def stopping(self) -> bool:
        """Whether the service was asked to stop."""
        return self.stop_at is not None

    @property
    def running(self) -> list[WorkerProcess]:
        """The workers whose process is running."""
        return [worker for worker in self.workers if worker.state is WorkerState.RUNNING]

    def alive(self) -> tuple[bool, str]:
        """Return whether no worker is hung, or which one is."""
        now = time.monotonic()
        hung = [worker.index for worker in self.workers if worker.is_hung(now, self._liveness_timeout_s)]
        return (False, f"no heartbeat from worker {hung[0]}") if hung else (True, "")

    def ready(self) -> tuple[bool, str]:
        """Return whether every worker is ready, or what each of the others waits for."""
        if self.stopping:
            return False, "stopping"
        waiting = [
            f"worker {worker.index}: {worker.reason or 'not ready'}" for worker in self.workers if not worker.ready
        ]
        return not waiting, "; ".join(waiting)

    def stop(self) -> None:
        """Ask every worker to stop, once."""
        if self.stop_at is None:
            self.stop_at = time.monotonic() + self._stop_timeout_s
            for worker in self.workers:
                worker.signal(signal.SIGTERM)

    def serve(self, admin_host: str, admin_port: int) -> int:
        """Run the service, with its admin listener, until SIGTERM or SIGINT; return the exit code.

        SIGHUP is passed on to the workers. Raises ConfigurationError.
        """
        logs.take_over_streams()
        metrics.enable_multiprocess()
        # Handlers run in this thread, which sleeps until something wakes it; the system may give a signal to another.
        os.set_blocking(self._wake_write, False)
        signal.set_wakeup_fd(self._wake_write, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_stop_signal)
        signal.signal(signal.SIGHUP, self._on_hangup)
        listener = admin_listener.serve(admin_host, admin_port, ready=self.ready, alive=self.alive)
        log.info("started", workers=len(self.workers), admin_port=listener.port, pid=os.getpid())
        try:
            return self._run()
        finally:
            listener.close()

    def _run(self) -> int:
        """Keep the workers running until the service is to end; return its exit code."""
        while True:
            now = time.monotonic()
            for worker in self.workers:
                self._tend(worker, now)
                self._kill_if_hung(worker, now)
            if self.stopping and not self.running:
                return self.exit_code
            ready, reason = self.ready()
            self._notifier.tell(ready=ready, reason=reason, stopping=self.stopping)
            self._kill_if_overdue(now)
            self._wait(now)

    def _tend(self, worker: WorkerProcess, now: float) -> None:
        """Take note of what happened to a worker, and start it if it is due."""
        worker.read_reports()
        self._been_ready = self._been_ready or worker.ready
        if (ended := worker.take_exit()) is not None:
            self._on_exit(worker, *ended, now)
        if not self.stopping and worker.start_at is not None and now >= worker.start_at:
            try:
                worker.start()
            except OSError as error:
                log.error("worker not started", worker=worker.index, error=str(error))  # noqa: TRY400
                worker.reason = f"not started: {error}"
                worker.restart_later(now)
            if self.stop_at is not None:  # asked for while it had no process id yet
                worker.signal(signal.SIGTERM)

    def _on_exit(self, worker: WorkerProcess, pid: int, code: int, now: float) -> None:
        """Decide what the end of a worker means: see the table above."""
        log_at = log.info if self.stopping and code == 0 else log.error
        log_at("worker ended", worker=worker.index, exit_code=code)
        metrics.mark_process_dead(pid)
        if self.stopping:
            self.exit_code = self.exit_code or max(0, code)
        elif code in _final_codes() and not (code in self._restarted_codes and self._been_ready):
            self.exit_code = code
            self.stop()
        else:
            worker.restart_later(now)

    def _kill_if_hung(self, worker: WorkerProcess, now: float) -> None:
        """Have a worker without a sign of life log where it stands; kill it if it gives none after that either."""
        if self.stopping or not worker.is_hung(now, self._liveness_timeout_s):
            worker.look_again_at = None
        elif worker.look_again_at is None:
            log.error("no heartbeat from a worker: it logs the stacks of its threads", worker=worker.index)
            worker.signal(signal.SIGUSR1)
            worker.look_again_at = now + LOOK_AGAIN_S
        elif now >= worker.look_again_at:
            log.error("killing a worker that hangs", worker=worker.index)
            worker.signal(signal.SIGKILL)
            worker.look_again_at = now + LOOK_AGAIN_S

    def _kill_if_overdue(self, now: float) -> None:
        if self.stop_at is None or now <= self.stop_at:
            return
        log.error("killing workers that did not stop in time", workers=[worker.index for worker in self.running])
        for worker in self.running:
            worker.signal(signal.SIGKILL)
        self.stop_at = now + self._stop_timeout_s
        self.exit_code = self.exit_code or 1

    def _wait(self, now: float) -> None:
        """Wait for a signal, a worker's end or report, or the next deadline."""
        deadlines = [self._next_look(worker) for worker in self.workers] if self.stop_at is None else [self.stop_at]
        timeout_s = max(0.0, min(deadlines) - now)
        waited = [self._wake_read, *(waitable for worker in self.running for waitable in worker.waitables())]
        if self._wake_read in wait(waited, timeout_s):
            os.read(self._wake_read, 4096)

    def _next_look(self, worker: WorkerProcess) -> float:
        """Return when a worker is to be started, or may turn out to hang."""
        if worker.start_at is not None:
            return worker.start_at
        return worker.look_again_at or worker.heartbeat.last() + self._liveness_timeout_s

    def _on_stop_signal(self, _: int, __: FrameType | None) -> None:
        self.stop()

    def _on_hangup(self, number: int, _: FrameType | None) -> None:
        for worker in self.workers:
            worker.signal(number)


@contextmanager
def _signals_held_back() -> Iterator[None]:
    """Keep Ctrl-C and a terminal's hang-up from a process that is being started, which cannot handle them yet.

    Both are inherited by it.
    """
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGHUP])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGHUP])
        signal.signal(signal.SIGINT, before)


def _subclasses(kind: type[SternpostError]) -> set[type[SternpostError]]:
    return {kind}.union(*(_subclasses(below) for below in kind.__subclasses__()))


def _final_codes() -> set[int]:
    """Return the exit codes after which starting the worker again would not help: our errors' but the plain 1."""
    return {error.exit_code for error in _subclasses(SternpostError)} - {1}
