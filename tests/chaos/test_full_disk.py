"""What commands say of a disk that is full or read-only: which file, why, and what to do."""

import os
import subprocess
from pathlib import Path

import pytest

from sternpost.local.artifacts import Cache
from tests.support.disks import small_disk
from tests.support.service import PROGRAM


def sternpost(*arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [PROGRAM, *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.mark.parametrize("size", ["4k", "16k"])
def test_a_local_stack_on_a_disk_that_is_full_names_it(size: str, tmp_path: Path) -> None:
    """At the first file, and at a broker's configuration."""
    with small_disk(tmp_path / "disk", size) as disk:
        ended = sternpost("dev", "--only-kafka", "--free-ports", "--data-dir", str(disk / "data"))
        assert ended.returncode == 69, ended.stderr
        assert str(disk) in ended.stderr
        assert "free space on its disk" in ended.stderr
        assert "Traceback" not in ended.stderr


def test_a_local_stack_on_a_disk_that_is_read_only_names_it(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "1m", read_only=True) as disk:
        ended = sternpost("dev", "--only-kafka", "--free-ports", "--data-dir", str(disk / "data"))
        assert ended.returncode == 78, ended.stderr
        assert f"{disk / 'data'} cannot be written" in ended.stderr
        assert "Traceback" not in ended.stderr


def test_a_demo_without_room_for_temporary_files_names_tmpdir(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "16k") as disk:
        ended = sternpost("demo", TMPDIR=str(disk))
        assert ended.returncode == 69, ended.stderr
        assert "TMPDIR" in ended.stderr
        assert "Traceback" not in ended.stderr


def test_a_cache_on_a_full_disk_is_named(tmp_path: Path) -> None:
    """What is downloaded is there, so that no network is needed; it has to be unpacked."""
    with small_disk(tmp_path / "disk", "1m") as disk:
        folder = disk / "sternpost"
        folder.mkdir()
        (folder / "maven").symlink_to(Cache().folder / "maven")
        ended = sternpost("dev", "--only-kafka", "--free-ports", XDG_CACHE_HOME=str(disk))
        assert ended.returncode == 69, ended.stderr
        assert f"the cache folder {folder} cannot be written (No space left on device)" in ended.stderr
        assert "Traceback" not in ended.stderr
