"""Temporary folders that outlive their processes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from runtime import temporary

MAKE = """
import sys, time
from runtime import temporary
made = temporary.reclaimed_folder("sternpost-trial-")
print(made.name, flush=True)
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


def test_a_folder_that_was_removed_holds_no_descriptor() -> None:
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        with temporary.reclaimed_folder("sternpost-trial-"):
            pass
    assert len(os.listdir("/proc/self/fd")) == before


def test_what_another_user_put_there_is_left_alone(tmp_path: Path) -> None:
    pipe, linked, target = (tmp_path / f"sternpost-trial-{name}" for name in ("pipe", "link", "target"))
    for folder in (pipe, linked, target):
        folder.mkdir()
    os.mkfifo(pipe / temporary.LOCK)
    (target / "file").touch()
    (linked / temporary.LOCK).symlink_to(target / "file")
    for path in (pipe / temporary.LOCK, target / "file"):
        os.utime(path, (0, 0))
    temporary.remove_abandoned("sternpost-trial-")
    assert pipe.exists()
    assert linked.exists()
