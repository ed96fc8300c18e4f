"""What processes and folders take, sampled, and whether it grows."""

import contextlib
from pathlib import Path
from statistics import median
from typing import NamedTuple

import psutil


class Usage(NamedTuple):
    """Of a service and its workers together."""

    memory_mb: float
    descriptors: int
    threads: int
    cpu_s: float


MOST_GROWTH = Usage(memory_mb=1.1, descriptors=1.25, threads=1.1, cpu_s=0)  # type: ignore[arg-type]
"""Between the second and the last quarter of the time, as a ratio."""

SMALL = Usage(memory_mb=8, descriptors=16, threads=4, cpu_s=0)
"""Growth that is none: an allocator's arena, a file of RocksDB more, a thread of a reconnecting client."""

DISK_GROWTH = 1.25
"""Segments leave one by one, and a burst or a broker's absence shifts when."""


def usage(pid: int) -> Usage | None:
    """Return what the process and its children take now; None if it has ended."""
    total = Usage(0, 0, 0, 0)
    try:
        root = psutil.Process(pid)
        family = [root, *root.children(recursive=True)]
    except psutil.Error:
        return None
    for process in family:
        with contextlib.suppress(psutil.Error), process.oneshot():
            times = process.cpu_times()
            total = Usage(
                total.memory_mb + process.memory_info().rss / 1_000_000,
                total.descriptors + process.num_fds(),
                total.threads + process.num_threads(),
                total.cpu_s + times.user + times.system + times.children_user + times.children_system,
            )
    return total


def disk_mb(folder: Path) -> float:
    """Return what the files below a folder take on the disk; files that go meanwhile count nothing."""
    total = 0
    for path in folder.rglob("*"):
        with contextlib.suppress(OSError):
            total += path.lstat().st_blocks * 512
    return total / 1_000_000


def growth(name: str, samples: list[Usage]) -> list[str]:
    """Return in words what has grown between the second and the last quarter of the samples."""
    quarter = len(samples) // 4
    grown = []
    for field in ("memory_mb", "descriptors", "threads"):
        values = [float(getattr(sample, field)) for sample in samples]
        before, after = median(values[quarter : 2 * quarter] or [0]), median(values[-quarter:] or [0])
        if after > before * getattr(MOST_GROWTH, field) and after > before + getattr(SMALL, field):
            grown.append(f"{name}: {field} grew from {before:.0f} to {after:.0f}")
    return grown


def disk_growth(samples: list[float]) -> list[str]:
    """Return in words whether the disk has filled further between the second and the last quarter."""
    quarter = len(samples) // 4
    before, after = median(samples[quarter : 2 * quarter] or [0]), median(samples[-quarter:] or [0])
    return [f"the disk grew from {before:.0f} to {after:.0f} MB"] if after > before * DISK_GROWTH else []
