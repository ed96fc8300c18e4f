"""Waiting for conditions instead of sleeping."""

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import psutil

PATIENCE_S = 120.0


def until(condition: Callable[[], Any], patience_s: float = PATIENCE_S) -> Any:
    """Wait until the result is true, and return it."""
    deadline = time.monotonic() + patience_s
    while not (found := condition()):
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.01)
    return found


def ended(process: psutil.Process) -> bool:
    """Return whether it runs no longer, though it may be a zombie until whoever inherited it looks, seconds later."""
    with suppress(psutil.NoSuchProcess):
        return bool(process.status() == psutil.STATUS_ZOMBIE)
    return True
