"""Small disks, which can be full, read-only or slow. They take root, or its rights in a container."""

import contextlib
import errno
import os
import shutil
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.waiting import until

_CORRECTED = {0, 1}
"""Exit codes of e2fsck after which a file system is sound: https://man7.org/linux/man-pages/man8/e2fsck.8.html."""

_CGROUPS = Path("/sys/fs/cgroup")


@contextlib.contextmanager
def small_disk(folder: Path, size: str, *, read_only: bool = False) -> Iterator[Path]:
    """Mount a disk of `size` (`64k`, `300m`) on a folder, which is made if it is missing. Skips if that is denied."""
    folder.mkdir(parents=True, exist_ok=True)
    options = f"size={size}{',ro' if read_only else ''}"
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"cannot mount a disk: {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


def fill(folder: Path) -> Path:
    """Leave no room on the disk of a folder; return the file to remove for there to be some again."""
    filler = folder / "filler"
    with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(1 << 16))
    with contextlib.suppress(OSError), filler.open("ab", buffering=0) as file:
        while True:
            file.write(bytes(512))
    return filler


class Disk:
    """An ext4 file system on a loop device, which can fail and be slow as a machine's own disk can.

    Only processes whose command begins with `enter` are slowed, by a control group
    (https://docs.kernel.org/admin-guide/cgroup-v1/blkio-controller.html, of version 2 in
    https://docs.kernel.org/admin-guide/cgroup-v2.html#io).
    """

    def __init__(self, folder: Path, image: Path, size: str = "400M") -> None:
        """Mount it on a folder, which is made if it is missing. Skips if this machine cannot make one."""
        self.folder = folder
        self._image = image
        self._group = _io_groups() / f"sternpost-{uuid.uuid4().hex[:8]}"
        missing = [tool for tool in ("mkfs.ext4", "e2fsck") if shutil.which(tool) is None]
        if missing:
            pytest.skip(f"a disk of its own takes {' and '.join(missing)}")
        folder.mkdir(parents=True, exist_ok=True)
        _run("truncate", f"--size={size}", str(image))
        _run("mkfs.ext4", "-q", str(image))
        mounted = self._mount()
        if mounted.returncode:
            pytest.skip(f"cannot mount a disk: {mounted.stderr.strip()}")
        if not os.access(self._error, os.W_OK):
            self.detach()
            pytest.skip(f"a disk that finds errors takes {self._error}")
        self._group.mkdir()

    @property
    def enter(self) -> list[str]:
        """What the command of a program begins with to be slow when this disk is."""
        return ["/bin/sh", "-c", f'echo $$ > {self._group}/cgroup.procs && exec "$@"', "sh"]

    def slow(self, writes_per_s: int) -> None:
        """Let no more than so many writes through, each of which a program waits for."""
        _run("mount", "-o", "remount,sync", str(self.folder))
        self._limit(writes_per_s)

    def fast(self) -> None:
        """Undo `slow`."""
        self._limit(None)
        _run("mount", "-o", "remount,async", str(self.folder))

    def fail(self) -> None:
        """Have the file system find an error, after which it takes no more writes."""
        self._error.write_text("tried by a test")
        try:
            (self.folder / "written").touch()
        except OSError as error:
            if error.errno == errno.EROFS:
                return
            raise
        raise AssertionError("the disk still takes writes")

    def repair(self) -> None:
        """Check and mount it again, once no program has files open on it: killed ones take a moment to end."""
        until(self._unmounted)
        checked = subprocess.run(["e2fsck", "-fy", self._image], capture_output=True, text=True, check=False)
        assert checked.returncode in _CORRECTED, checked.stdout + checked.stderr
        mounted = self._mount()
        assert mounted.returncode == 0, mounted.stderr

    def detach(self) -> None:
        """Take it off its folder, if it is there; programs that have files open on it keep them."""
        subprocess.run(["umount", "--lazy", self.folder], capture_output=True, check=False)

    def close(self) -> None:
        """Remove what is left, once nobody uses it."""
        until(self._unused)
        self._image.unlink()

    def _unmounted(self) -> bool:
        return subprocess.run(["umount", self.folder], capture_output=True, check=False).returncode == 0

    def _unused(self) -> bool:
        with contextlib.suppress(OSError):
            self._group.rmdir()
        return not self._group.exists()

    @property
    def _device(self) -> Path:
        number = self.folder.stat().st_dev
        return Path(f"/sys/dev/block/{os.major(number)}:{os.minor(number)}")

    @property
    def _error(self) -> Path:
        """The file with which the file system is told that there is an error."""
        return Path("/sys/fs/ext4") / self._device.resolve().name / "trigger_fs_error"

    def _limit(self, writes_per_s: int | None) -> None:
        if self._group.parent == _CGROUPS:
            (self._group / "io.max").write_text(f"{self._device.name} wiops={writes_per_s or 'max'}")
        else:
            of_version_1 = self._group / "blkio.throttle.write_iops_device"
            of_version_1.write_text(f"{self._device.name} {writes_per_s or 0}")

    def _mount(self) -> "subprocess.CompletedProcess[str]":
        command = ["mount", "-o", "loop,errors=remount-ro", str(self._image), str(self.folder)]
        return subprocess.run(command, capture_output=True, text=True, check=False)


def _io_groups() -> Path:
    """Return the folder of the control groups that limit writes to a disk. Skips if there are none, or not for us."""
    if os.geteuid() != 0:
        pytest.skip("a disk of its own takes root")
    if (_CGROUPS / "blkio" / "blkio.throttle.write_iops_device").exists():
        return _CGROUPS / "blkio"
    try:
        (_CGROUPS / "cgroup.subtree_control").write_text("+io")
    except OSError as error:
        pytest.skip(f"no control groups that limit writes to a disk: {error}")
    return _CGROUPS


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"
