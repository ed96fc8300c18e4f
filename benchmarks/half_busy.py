"""A job beside the measured program: a process per core that keeps the core busy half of the time."""

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator

SLICE_S = 0.01
SHARE = 0.5


@contextlib.contextmanager
def cores() -> Iterator[None]:
    """Keep every core half busy, in slices of 10 ms, for as long as the block lasts."""
    command = [sys.executable, "-m", __spec__.name]
    processes = [subprocess.Popen([*command, str(core)]) for core in sorted(os.sched_getaffinity(0))]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def keep_half_busy(core: int) -> None:
    """Never returns."""
    os.sched_setaffinity(0, {core})
    while True:
        begun = time.perf_counter()
        while time.perf_counter() < begun + SHARE * SLICE_S:
            pass
        time.sleep(max(0.0, begun + SLICE_S - time.perf_counter()))


if __name__ == "__main__":
    keep_half_busy(int(sys.argv[1]))
