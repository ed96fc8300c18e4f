"""Run by test_supervisor.py as a program: a service whose workers do as the file of orders says."""

import gc
import os
import signal
import sys
import threading
import time
from pathlib import Path

from runtime import supervisor as supervision
from runtime.errors import DependencyError, ProcessorHaltedError
from runtime.logs import configure
from runtime.settings.model import LogFormat, LogSettings, Settings
from runtime.supervisor import Supervisor, Worker
from sternpost.cli import main  # noqa: F401 (as in a service: each worker process imports it first)

FOLDER = Path(os.environ.get("SUPERVISED_FOLDER", "."))


def work(worker: Worker) -> None:
    """Leaves its process id, then runs, crashes, halts, hangs or ignores the request to stop, as ordered."""
    (FOLDER / f"worker-{worker.index}.pid").write_text(str(os.getpid()))
    order = (FOLDER / "order").read_text() if (FOLDER / "order").exists() else "run"
    if order == "halt" and worker.index == 1:
        raise ProcessorHaltedError("too many of something")
    (FOLDER / f"worker-{worker.index}.kept").write_text(str(worker.kept))
    worker.keep(f"of worker {worker.index}")
    if order == "crash-once" and worker.index == 0:
        (FOLDER / "order").write_text("run")
        raise ValueError("a fault")
    if order == "dependency-once" and worker.index == 0:
        if not (FOLDER / "was-there").exists():
            (FOLDER / "was-there").touch()
            worker.ready(True)
            until_other = FOLDER / "crash"
            while not until_other.exists():
                worker.beat()
                time.sleep(0.02)
            raise ValueError("a fault")
        (FOLDER / "order").write_text("run")
        raise DependencyError("no broker answers")
    if order == "dependency":
        raise DependencyError("no broker answers")
    (FOLDER / f"worker-{worker.index}.collects").write_text(str(gc.isenabled()))
    worker.ready(True)
    worker.beat()
    if order == "hang-once" and worker.index == 0:
        (FOLDER / "order").write_text("run")
        threading.Event().wait()
    while not worker.stopping.wait(0.02) or order == "ignore-stop":
        if order != "hang":
            worker.beat()
    (FOLDER / f"worker-{worker.index}.stopped").write_text(str(time.time()))


def stop_from_a_thread() -> None:
    """Have the system give SIGTERM to this thread, once the main thread sleeps, as it may with any signal."""
    while not (FOLDER / "stop").exists():
        time.sleep(0.02)
    signal.pthread_kill(threading.get_ident(), signal.SIGTERM)
    threading.Event().wait()


if __name__ == "__main__":
    gc.enable()
    settings = Settings(log=LogSettings(format=LogFormat.JSON))
    configure(settings.log, service="test")
    supervision.LOOK_AGAIN_S = float(os.environ.get("SUPERVISED_LOOK_AGAIN_S", supervision.LOOK_AGAIN_S))
    supervisor = Supervisor(
        "test",
        work,
        2,
        settings,
        stop_timeout_s=float(os.environ.get("SUPERVISED_STOP_TIMEOUT_S", "120")),
        liveness_timeout_s=float(os.environ.get("SUPERVISED_LIVENESS_TIMEOUT_S", "60")),
        passing=[DependencyError.exit_code],
    )
    if os.environ.get("SUPERVISED_SIGNAL_IN_A_THREAD"):
        threading.Thread(target=stop_from_a_thread, daemon=True).start()
    sys.exit(supervisor.serve("127.0.0.1", 0))
