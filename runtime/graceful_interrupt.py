"""Lets a command finish what it has in hand when it is interrupted."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class StopRequest:
    """Whether someone asked the command to stop; true in a condition once they did."""

    def __init__(self) -> None:
        self.now = False

    def __bool__(self) -> bool:
        return self.now


@contextmanager
def graceful_interrupt() -> Iterator[StopRequest]:
    """Turn the first Ctrl-C or SIGTERM into a request to stop; the second raises KeyboardInterrupt."""
    interrupted = StopRequest()

    def ask(number: int, _: FrameType | None) -> None:
        if interrupted.now:
            raise KeyboardInterrupt
        interrupted.now = True
        # Not through Python's buffers: the interrupted code may be in the middle of writing to them.
        os.write(2, b"\nstopping after what is in hand; press Ctrl-C again to stop at once\n")

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield interrupted
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
