"""A child process that dies with this one, and that tests can kill, freeze and thaw."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NoReturn

from runtime import disk
from runtime.errors import DependencyError

_LAUNCHER = Path(__file__).with_name("launcher.py")
ROOM = "free space on its disk, or choose a folder on another: --data-dir, or TMPDIR for a temporary one"
_POLL_S = 0.02
_WATCH_S = 0.25

# Linux sends the parent-death signal when the *thread* that started the child ends. So one thread, which lives as long
# as the interpreter, starts all children: a child of a short-lived thread would be killed with it.
_spawner = ThreadPoolExecutor(1, thread_name_prefix="sternpost-spawner")


class Process:
    """A child process and its log file. Not thread-safe."""

    def __init__(
        self,
        name: str,
        command: Sequence[str | Path],
        log: Path,
        *,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        orphan_signal: signal.Signals = signal.SIGKILL,
    ) -> None:
        """Describe the process; `start` starts it. It gets `orphan_signal` if this process dies."""
        self.name = name
        self.log = log
        self._command = [str(part) for part in command]
        self._env = env
        self._cwd = cwd
        self._orphan_signal = orphan_signal
        self._popen: subprocess.Popen[bytes] | None = None
        self._log_start = 0

    @property
    def pid(self) -> int | None:
        """The id of the running process; None if it is not running."""
        return self._popen.pid if self._popen and self._popen.poll() is None else None

    @property
    def exit_code(self) -> int | None:
        """The exit code of the last run, negative if a signal ended it; None while it runs or if it never ran."""
        return self._popen.poll() if self._popen else None

    def start(self) -> None:
        """Start the process in its own session, so that Ctrl-C reaches only us and we stop processes in order.

        Raises DependencyError if its log cannot be written.
        """
        if self.pid is not None:
            return
        with disk.writing(self.log, ROOM):
            self.log.parent.mkdir(parents=True, exist_ok=True)
        with disk.writing(self.log, ROOM), self.log.open("ab") as log:
            self._log_start = log.tell()
            launcher = [sys.executable, "-I", "-S", str(_LAUNCHER), str(int(self._orphan_signal)), str(os.getpid())]
            self._popen = _spawner.submit(
                subprocess.Popen,
                [*launcher, *self._command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self._env,
                cwd=self._cwd,
                start_new_session=True,
            ).result()

    def terminate(self) -> None:
        """Send SIGTERM, and do not wait."""
        if self._popen is not None:
            self._popen.terminate()
            self.thaw()  # a frozen process does not see SIGTERM

    def stop(self, timeout_s: float = 20) -> None:
        """Send SIGTERM; if the process has not ended after `timeout_s` seconds, kill it and its children."""
        if self.pid is not None:
            self.terminate()
        self.await_end(timeout_s)

    def await_end(self, timeout_s: float) -> None:
        """Wait after `terminate`; if the process has not ended after `timeout_s` seconds, kill it and its children.

        Call this instead of `stop` after `terminate`: a second SIGTERM could reach a Python program that has removed
        its handler already, and change the exit code of a graceful shutdown.
        """
        if self._popen is not None:
            try:
                self._popen.wait(timeout_s)
            except subprocess.TimeoutExpired:
                self.kill()

    def kill(self) -> None:
        """Send SIGKILL to the process and its children, and wait until it has ended."""
        if self._popen is not None and self._popen.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._popen.pid, signal.SIGKILL)
            self._popen.wait()

    def freeze(self) -> None:
        """Send SIGSTOP: connections stay open, but nothing answers."""
        if self._popen is not None:
            self._popen.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Send SIGCONT, which undoes `freeze`."""
        if self._popen is not None:
            self._popen.send_signal(signal.SIGCONT)

    def output(self) -> str:
        """Return what the process has written since its last start."""
        try:
            with self.log.open("rb") as log:
                log.seek(self._log_start)
                return log.read().decode("utf-8", "replace")
        except OSError:
            return ""

    def wait_until(self, ready: Callable[[], bool], timeout_s: float, reason: Callable[[], str] = str) -> None:
        """Return once `ready()` is true. `reason` says why it is not yet.

        Raises DependencyError, with the end of the log, if the process ends or `timeout_s` seconds pass.
        """
        deadline = time.monotonic() + timeout_s
        while not ready():
            if self.pid is None:
                raise self.failure(f"ended with exit code {self.exit_code} before it was ready")
            if time.monotonic() > deadline:
                why = f" ({reason()})" if reason() else ""
                raise self.failure(f"was not ready within {timeout_s:.0f} s{why}")
            time.sleep(_POLL_S)

    def failure(self, what: str) -> DependencyError:
        """Return an error that says what happened to this process and quotes the end of its log."""
        output = self.output()
        hint = ""
        if "Address already in use" in output or "BindException" in output:
            hint = "\nOne of its ports is in use: choose another, or 0 for a free one"
        elif "No space left on device" in output or disk.is_full(self.log.parent):
            hint = f"\nThe disk of {self.log.parent} is full: {ROOM}"
        elif "insufficient memory" in output or "OutOfMemoryError" in output or "Could not reserve" in output:
            hint = "\nThe machine has too little free memory: stop other programs and try again"
        last = "\n".join(f"  | {line}" for line in output.splitlines()[-15:]) or "  | (nothing was written)"
        return DependencyError(f"{self.name} {what}{hint}\nThe end of its log, {self.log}:\n{last}")


def watch(processes: Sequence[Process]) -> NoReturn:
    """Wait until one of the processes ends, and raise DependencyError with the end of its log."""
    while True:
        for process in processes:
            if process.pid is None:
                raise process.failure(f"ended with exit code {process.exit_code}")
        time.sleep(_WATCH_S)
