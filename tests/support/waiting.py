"""Waiting for conditions instead of sleeping."""

import time
from collections.abc import Callable
from typing import Any

PATIENCE_S = 120.0


def until(condition: Callable[[], Any], patience_s: float = PATIENCE_S) -> Any:
    """Wait until the result is true, and return it."""
    deadline = time.monotonic() + patience_s
    while not (found := condition()):
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.01)
    return found
