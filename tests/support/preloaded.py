"""Libraries that programs preload, and that lie to them about this machine: about its clock, or its disk.

A library looks a number up whenever it matters, so that a test can change it while a program runs.
"""

import mmap
import shutil
import struct
import subprocess
from pathlib import Path

import pytest

COMPILER = shutil.which("cc")
needs_compiler = pytest.mark.skipif(COMPILER is None, reason="no C compiler (cc) to build a preloaded library with")

CLOCK, DISK = "stepped_clock.c", "slow_disk.c"
"""How many seconds the clock is ahead, and how many each write takes longer."""


class Dial:
    """The number that one program and its children look up; at first 0."""

    def __init__(self, file: Path, library: Path) -> None:
        file.write_bytes(bytes(8))
        with file.open("r+b") as opened:
            self._number = mmap.mmap(opened.fileno(), 8)
        self.environment = {"LD_PRELOAD": str(library), "DIAL": str(file)}

    @property
    def enter(self) -> list[str]:
        """What the command begins with."""
        return ["/usr/bin/env", *(f"{name}={value}" for name, value in self.environment.items())]

    def set(self, seconds: float) -> None:
        struct.pack_into("=q", self._number, 0, int(seconds * 1_000_000_000))


def build(source: str, folder: Path) -> Path:
    """Build CLOCK or DISK into a folder; return the library."""
    assert COMPILER is not None
    library = folder / f"{Path(source).stem}.so"
    flags = ["-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC"]
    subprocess.run([COMPILER, *flags, "-o", str(library), str(Path(__file__).with_name(source))], check=True)
    return library
