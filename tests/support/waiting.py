"""Waiting for what is to come about, in place of sleeping until it probably has."""

import time
from collections.abc import Callable
from typing import Any

PATIENCE_S = 30.0


def until(condition: Callable[[], Any], patience_s: float = PATIENCE_S) -> Any:
    """Waits for something true, and gives it."""
    deadline = time.monotonic() + patience_s
    while not (found := condition()):
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.01)
    return found
