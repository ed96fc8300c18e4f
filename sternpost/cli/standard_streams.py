"""Standard input, output and error, made safe however the program was started.

A closed one is replaced, so that no file or socket opened later gets its number and, with it, what is printed.
"""

import contextlib
import io
import os
import sys
from typing import TYPE_CHECKING, TextIO

from runtime.errors import SternpostError

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

INPUT, OUTPUT, ERROR = 0, 1, 2


class OutputError(SternpostError):
    """Standard output cannot be written to. If its reader has closed it, BrokenPipeError is raised instead."""


class _Output(io.FileIO):
    """Standard output. The first failed write raises OutputError; later ones are dropped.

    The interpreter flushes the rest at exit, and must not fail then.
    """

    _failed = False

    def write(self, data: "ReadableBuffer", /) -> int:
        if self._failed:
            return memoryview(data).nbytes
        try:
            return super().write(data)
        except BrokenPipeError:
            self._failed = True
            raise
        except OSError as error:
            self._failed = True
            raise OutputError(
                f"standard output cannot be written to ({error.strerror}): the output is incomplete"
            ) from None


class _Messages(io.FileIO):
    """Standard error. Never raises: a message that cannot be shown must not end the work it is about."""

    def write(self, data: "ReadableBuffer", /) -> int:
        with contextlib.suppress(OSError):
            return super().write(data) or memoryview(data).nbytes
        return memoryview(data).nbytes


def secure() -> None:
    """Make the three streams safe. Call this before the program opens anything."""
    for descriptor in (INPUT, OUTPUT, ERROR):
        try:
            os.fstat(descriptor)
        except OSError:
            # The new descriptor gets the lowest free number: the missing one. Writes to it fail and count as dropped.
            os.set_inheritable(os.open(os.devnull, os.O_RDONLY), True)
    if sys.stdin is None:
        sys.stdin = _nowhere("r")
    # A replacement by a test, or by a program that uses this as a library, stays.
    if sys.stdout is None:
        sys.stdout = _nowhere("w")
    elif sys.stdout is sys.__stdout__:
        sys.stdout = _text(_Output(OUTPUT, "w", closefd=False), sys.stdout)
    if sys.stderr is None or sys.stderr is sys.__stderr__:
        sys.stderr = _text(_Messages(ERROR, "w", closefd=False), sys.stderr)


def _nowhere(mode: str) -> TextIO:
    return open(os.devnull, mode, encoding="utf-8")  # type: ignore[return-value]


def _text(raw: io.FileIO, like: TextIO | None) -> io.TextIOWrapper:
    return io.TextIOWrapper(
        io.BufferedWriter(raw),
        encoding=like.encoding if like else "utf-8",
        errors=like.errors if like else "backslashreplace",
        line_buffering=getattr(like, "line_buffering", True),
    )
