"""A worker process's own side: what it is to do, when to stop, and what it tells its supervisor."""

import contextlib
import resource
import signal
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

import structlog

from runtime import logs, metrics
from runtime.errors import SternpostError
from runtime.heartbeat import Heartbeat
from runtime.settings.model import Settings

Target = Callable[["Worker"], None]
"""What a worker process does: a module-level function that returns once `Worker.stopping` is set."""


class Worker:
    """What a target is given: its settings, whether to stop, and how to say how it is."""

    def __init__(self, index: int, settings: Settings, pipe: "Connection[Any, Any]", heartbeat: Heartbeat) -> None:
        self.index = index
        """0 … workers - 1, the same after a restart."""
        self.settings = settings
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


def raise_file_limit() -> None:
    """Raise the soft limit of open files to the hard limit.

    Thousands of connections, and the state files of each partition, need more than the usual 1,024.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def run_process(service: str, target: Target, index: int, settings: Settings, pipe: Any, heartbeat: Heartbeat) -> None:
    """Be a worker process: run the target, and exit with the code of the error that ended it."""
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
        log.error("stopped", error=str(error))  # noqa: TRY400 (a message for people: no traceback)
        raise SystemExit(error.exit_code) from None
    except Exception:
        log.exception("crashed")
        raise SystemExit(1) from None
    finally:
        logs.count_dropped()
        if worker.orphaned:
            metrics.remove_shared_folder()
