"""The stream that log lines go to: it never raises, and logging never waits for it.

A log may be a file on a full disk, a pipe whose reader ended or does not read, or a terminal that is gone. None of this
may stop a service, so a thread writes the lines, and what cannot be written is dropped and counted.
"""

import contextlib
import io
import os
import select
import threading
from collections import deque
from collections.abc import Callable

MOST_BYTES = 1_048_576
"""How much is kept while the log cannot be written; further lines are dropped."""

PATIENCE_S = 1.0
"""How long a non-blocking pipe may be full before a line is dropped."""


class LogStream(io.TextIOBase):
    """A text stream that writes whole lines to a file descriptor, from a thread of its own.

    `resumed` is called, from that thread, with the number of lines dropped so far once a line could be written again.
    """

    encoding = "utf-8"

    def __init__(self, descriptor: int, resumed: Callable[[int], None] = lambda _: None) -> None:
        super().__init__()
        self.dropped = 0
        """Lines that could not be written."""
        self._descriptor = descriptor
        self._resumed = resumed
        self._told = 0
        self._part = ""
        self._lines: deque[bytes] = deque()
        self._size = 0
        self._torn = False
        """Whether only the beginning of a line is in the log."""
        self._changed = threading.Condition()
        """Its lock is reentrant: signal handlers log, and so do finalizers that raise, in whatever the thread is at."""
        threading.Thread(target=self._write_lines, daemon=True, name="log").start()

    def writable(self) -> bool:
        """Return True."""
        return True

    def fileno(self) -> int:
        """Return the file descriptor."""
        return self._descriptor

    def isatty(self) -> bool:
        """Return whether the descriptor is a terminal."""
        return os.isatty(self._descriptor)

    def write(self, text: str) -> int:
        """Take text; it goes out line by line, as soon as each is complete."""
        with self._changed:
            *lines, self._part = (self._part + text).split("\n")
            if len(self._part) > MOST_BYTES:
                lines.append(self._part)
                self._part = ""
            for line in lines:
                encoded = line.encode("utf-8", "backslashreplace") + b"\n"
                size = len(encoded)
                if self._size + size > MOST_BYTES:
                    self.dropped += 1
                    continue
                self._lines.append(encoded)
                self._size += size  # without a call in between, in which a signal handler could add to it
            self._changed.notify_all()
        return len(text)

    def flush(self) -> None:
        """Do nothing: `drain` waits for the log."""

    def close(self) -> None:
        """Do nothing: there is always more to log."""

    def drain(self, timeout_s: float) -> None:
        """Wait until all lines are written or dropped, but no longer than `timeout_s`."""
        with self._changed:
            self._changed.wait_for(lambda: not self._lines, timeout_s)

    def _write_lines(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._lines)
                line = self._lines[0]
            written = self._put(line)
            with self._changed:
                self._lines.popleft()
                self._size -= len(line)
                self.dropped += not written
                resumed = written and not self._lines and self.dropped > self._told
                if resumed:
                    self._told = self.dropped
                self._changed.notify_all()
            if resumed:
                self._resumed(self._told)

    def _put(self, line: bytes) -> bool:
        """Write a line; return whether all of it could be written."""
        whole = memoryview(b"\n" + line if self._torn else line)
        rest = whole
        with contextlib.suppress(OSError):
            while rest:
                try:
                    rest = rest[os.write(self._descriptor, rest) :]
                except BlockingIOError:
                    if not self._takes_more():
                        break
        if len(rest) < len(whole):
            self._torn = len(rest) > 0
        return not rest

    def _takes_more(self) -> bool:
        poll = select.poll()
        poll.register(self._descriptor, select.POLLOUT)
        return bool(poll.poll(PATIENCE_S * 1000))
