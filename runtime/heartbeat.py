"""When a worker last gave a sign of life: a time in memory that a process shares with those that it starts.

Unlike `multiprocessing.Value` it needs no file, and so no folder that can be written to.
"""

import mmap
import os
import struct
import tempfile
import time
from multiprocessing import reduction
from typing import Any

_TIME = struct.Struct("d")


class Heartbeat:
    """Seconds of `time.monotonic`, which is one clock for all processes of a machine."""

    def __init__(self, descriptor: int | None = None) -> None:
        if descriptor is None:
            descriptor = _memory()
            os.ftruncate(descriptor, _TIME.size)
        self._descriptor = descriptor
        self._memory = mmap.mmap(descriptor, _TIME.size)

    def __reduce__(self) -> Any:
        """Pickle it for a process that is being started, which then shares the memory."""
        return _rebuilt, (reduction.DupFd(self._descriptor),)

    def beat(self, ahead_s: float = 0.0) -> None:
        """Set the time to now, or to so many seconds ahead."""
        _TIME.pack_into(self._memory, 0, time.monotonic() + ahead_s)

    def last(self) -> float:
        """Return when it beat last, in seconds of `time.monotonic`."""
        seconds: float = _TIME.unpack_from(self._memory)[0]
        return seconds


def _memory() -> int:
    if hasattr(os, "memfd_create"):
        return os.memfd_create("sternpost-heartbeat")
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


def _rebuilt(duplicate: Any) -> Heartbeat:
    return Heartbeat(duplicate.detach())
