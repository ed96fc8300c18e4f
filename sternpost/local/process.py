"""A program that runs beside us, and dies with us: started, stopped in good order or killed, frozen and thawed."""

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

from runtime.errors import DependencyError

_LAUNCHER = Path(__file__).with_name("launcher.py")
_POLL_S = 0.02
_WATCH_S = 0.25

# The kernel's notice of a parent's death is about the *thread* that started the child. So one thread, which lives as
# long as the interpreter, starts them all: a child started from a short-lived thread would be killed with it.
_spawner = ThreadPoolExecutor(1, thread_name_prefix="sternpost-spawner")


class Process:
    """One child process and its log file. Not thread-safe; `kill`, `freeze` and `thaw` are for tests of failures."""

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
        """Of the running process; None where there is none."""
        return self._popen.pid if self._popen and self._popen.poll() is None else None

    @property
    def exit_code(self) -> int | None:
        """Of the last run, negative where a signal ended it; None while it runs or where it was never started."""
        return self._popen.poll() if self._popen else None

    def start(self) -> None:
        """Start it, in a session of its own, so that Ctrl-C reaches us alone and we stop things in order."""
        if self.pid is not None:
            return
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
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
        """SIGTERM, without waiting."""
        if self._popen is not None:
            self._popen.terminate()
            self.thaw()  # a frozen process would not see it

    def stop(self, timeout_s: float = 20) -> None:
        """SIGTERM, and SIGKILL to it and its children where it has not ended within `timeout_s` seconds."""
        if self.pid is not None:
            self.terminate()
        self.await_end(timeout_s)

    def await_end(self, timeout_s: float) -> None:
        """What `stop` does after the SIGTERM. A second SIGTERM could hit a Python program in its last moments, when
        its handler is no longer there, and turn an orderly end into another exit code."""
        if self._popen is not None:
            try:
                self._popen.wait(timeout_s)
            except subprocess.TimeoutExpired:
                self.kill()

    def kill(self) -> None:
        """SIGKILL to it and its children, and wait until it is gone."""
        if self._popen is not None and self._popen.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._popen.pid, signal.SIGKILL)
            self._popen.wait()

    def freeze(self) -> None:
        """SIGSTOP: connections stay open, nothing answers."""
        if self._popen is not None:
            self._popen.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT, after `freeze`."""
        if self._popen is not None:
            self._popen.send_signal(signal.SIGCONT)

    def output(self) -> str:
        """What it has written since it was last started."""
        try:
            with self.log.open("rb") as log:
                log.seek(self._log_start)
                return log.read().decode("utf-8", "replace")
        except OSError:
            return ""

    def wait_until(self, ready: Callable[[], bool], timeout_s: float, reason: Callable[[], str] = str) -> None:
        """Return once `ready()`; raise DependencyError, with the end of its log, where it ends or time runs out.

        `reason` says why it is not ready yet.
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
        """An error that says what happened to this process, with the end of its log."""
        output = self.output()
        hint = ""
        if "Address already in use" in output or "BindException" in output:
            hint = "\nOne of its ports is in use: give another, or 0 for a free one"
        elif "insufficient memory" in output or "OutOfMemoryError" in output or "Could not reserve" in output:
            hint = "\nThe machine has too little memory for it: end other programs and try again"
        last = "\n".join(f"  | {line}" for line in output.splitlines()[-15:]) or "  | (nothing was written)"
        return DependencyError(f"{self.name} {what}{hint}\nThe end of its log, {self.log}:\n{last}")


def watch(processes: Sequence[Process]) -> NoReturn:
    """Wait for ever. Raises DependencyError, with the end of its log, when one of the processes ends."""
    while True:
        for process in processes:
            if process.pid is None:
                raise process.failure(f"ended with exit code {process.exit_code}")
        time.sleep(_WATCH_S)
