"""Temporary folders that killed processes left."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from runtime import metrics, temporary

MAKE = """
import sys, time
from runtime import temporary
made = temporary.reclaimed_folder("sternpost-trial-")
print(made.name, flush=True)
time.sleep(600)
"""
HOLD = """
import os, sys, time
from runtime import metrics, temporary

temporary.MEMORY = sys.argv[1]
if sys.argv[2:] == ["worker"]:
    metrics.open_counters()
else:
    metrics.enable_multiprocess()
print(os.environ[metrics.FOLDER_VARIABLE], flush=True)
time.sleep(600)
"""


@pytest.fixture(autouse=True)
def _of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(temporary.tempfile, "tempdir", None)  # type: ignore[attr-defined]
    monkeypatch.setattr(temporary, "MEMORY", str(tmp_path / "memory"))


def test_what_a_killed_process_left_goes_with_the_next_of_its_kind() -> None:
    with subprocess.Popen([sys.executable, "-c", MAKE], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        left = Path(other.stdout.readline().strip())
        os.utime(left / temporary.LOCK, (0, 0))
        with temporary.reclaimed_folder("sternpost-trial-"):
            assert left.exists(), "its process lives"
        other.kill()
    with temporary.reclaimed_folder("sternpost-trial-") as new:
        assert not left.exists()
        assert Path(new).exists()
    assert not Path(new).exists()


def test_a_folder_whose_processes_were_all_killed_is_removed_by_the_next_service(tmp_path: Path) -> None:
    running: list[subprocess.Popen[str]] = []

    def start(*arguments: str, **environment: str) -> tuple["subprocess.Popen[str]", Path]:
        process = subprocess.Popen(
            [sys.executable, "-c", HOLD, str(tmp_path), *arguments],
            env={**os.environ, "TMPDIR": str(tmp_path), **environment},
            stdout=subprocess.PIPE,
            text=True,
        )
        running.append(process)
        assert process.stdout is not None
        folder = Path(process.stdout.readline().strip())
        os.utime(folder / temporary.LOCK, (0, 0))
        return process, folder

    def kill(process: "subprocess.Popen[str]") -> None:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()

    foreign = tmp_path / "sternpost-metrics-foreign"
    foreign.mkdir()
    try:
        service, of_worker = start()
        worker, _ = start("worker", **{metrics.FOLDER_VARIABLE: str(of_worker)})
        kill(service)
        killed, of_killed = start()
        kill(killed)
        _, of_next = start()
        assert [folder.exists() for folder in (of_worker, of_killed, of_next, foreign)] == [True, False, True, True]
        kill(worker)
        start()
        assert [folder.exists() for folder in (of_worker, of_next)] == [False, True]
    finally:
        for process in running:
            kill(process)
