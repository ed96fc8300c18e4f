"""Serves every declared metric, counted up each second: `every_metric.py PORT`.

What a pipeline that is well never counts (a halt, a dropped log line) has its declared name and labels here, as
Prometheus gets it from a service.
"""

import sys
import time
from typing import Any

from runtime import admin_listener
from runtime.metrics import DECLARED

VALUES = {"outcome": ["ok", "late", "bad_signature"], "source": ["production"], "kind": ["assigned", "lost"]}
"""Of labels that panels choose by; of others any will do."""


def series(names: tuple[str, ...]) -> list[list[str]]:
    """Values for the labels `names`, in all their combinations."""
    combined: list[list[str]] = [[]]
    for name in names:
        combined = [[*before, value] for before in combined for value in VALUES.get(name, ["some"])]
    return combined


def count() -> None:
    for metric in DECLARED.values():
        for values in series(metric.label_names):
            found: Any = metric.labels(*values)
            found.observe(0.02) if hasattr(found, "observe") else found.inc()


if __name__ == "__main__":
    count()
    admin_listener.serve("127.0.0.1", int(sys.argv[1]), ready=lambda: (True, ""), alive=lambda: (True, ""))
    while True:
        time.sleep(1)
        count()
