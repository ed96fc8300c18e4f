"""A wall clock of its own for a program and its children, which a test can set while they run.

They preload `stepped_clock.c`, which looks the clock up whenever somebody asks what time it is.
"""

import mmap
import shutil
import struct
import subprocess
from pathlib import Path

import pytest

COMPILER = shutil.which("cc")
needs_compiler = pytest.mark.skipif(COMPILER is None, reason="no C compiler (cc) to build a preloaded library with")

_SOURCE = Path(__file__).with_name("stepped_clock.c")


class Clock:
    """A clock that is right until it is set."""

    def __init__(self, folder: Path, name: str = "clock") -> None:
        """`folder` is for the library, and for a file that says how far this clock is off."""
        file = folder / name
        file.write_bytes(bytes(8))
        with file.open("r+b") as opened:
            self._ahead = mmap.mmap(opened.fileno(), 8)
        self.environment = {"LD_PRELOAD": str(_library(folder)), "STEPPED_CLOCK": str(file)}

    @property
    def enter(self) -> list[str]:
        """What the command of a program with this clock begins with."""
        return ["/usr/bin/env", *(f"{name}={value}" for name, value in self.environment.items())]

    def set(self, hours: float) -> None:
        """Have it be so far ahead of this machine's clock, for whatever runs."""
        struct.pack_into("=q", self._ahead, 0, int(hours * 3_600_000_000_000))


def _library(folder: Path) -> Path:
    assert COMPILER is not None
    library = folder / "stepped_clock.so"
    if not library.exists():
        flags = ["-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC"]
        subprocess.run([COMPILER, *flags, "-o", str(library), str(_SOURCE)], check=True)
    return library
