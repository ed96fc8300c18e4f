"""Temporary folders that outlive their processes."""

import contextlib
import os
from pathlib import Path

import pytest

from runtime import temporary


@pytest.fixture(autouse=True)
def _of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(temporary.tempfile, "tempdir", None)  # type: ignore[attr-defined]
    monkeypatch.setattr(temporary, "MEMORY", str(tmp_path / "memory"))


def test_a_folder_that_was_removed_holds_no_descriptor(tmp_path: Path) -> None:
    for _ in range(3):
        with temporary.reclaimed_folder("sternpost-trial-"):
            assert opened_in(tmp_path)
    assert not opened_in(tmp_path)


def opened_in(folder: Path) -> list[str]:
    """The files in a folder that this process has open."""
    opened = []
    for descriptor in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # the one by which they are listed
            opened.append(os.readlink(descriptor))
    return [file for file in opened if file.startswith(str(folder))]


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
