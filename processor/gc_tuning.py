"""How often Python's garbage collector looks for reference cycles: https://docs.python.org/3/library/gc.html."""

import gc
import time

COLLECT_EVERY_S = 300.0
"""How often to look for cycles all the same. It takes some milliseconds."""

OBJECTS_PER_RECORD = 100
"""The number of container objects allowed for each record of a batch. Two batches can be alive, one in hand and one in
flight. This is more than twice what their records use: the record, its headers, key and times, the event and its
headers."""


def raise_gc_thresholds(batch_max_records: int) -> None:
    """Collect cycles only when far more objects are alive than batches of this size need.

    Records make no cycles (tests/unit/processor/test_gc_tuning.py), so they are freed as soon as they are dropped.
    Searching the records of a batch for cycles finds nothing and takes a quarter of the processor's time
    (docs/performance.md). What fails does make cycles, and they hold clients with their threads and connections:
    `RareCollection` is for them.
    """
    gc.collect()
    gc.freeze()  # imported modules stay alive anyway
    gc.set_threshold(OBJECTS_PER_RECORD * max(batch_max_records, 500), 20, 20)


class RareCollection:
    """Collects cycles every `COLLECT_EVERY_S`, since thresholds for batches may not be reached for days.

    A consumer that was replaced is in one, with the callbacks for its partitions; so may be what an exception holds.
    """

    def __init__(self) -> None:
        self._last = time.monotonic()

    def collect_if_due(self) -> None:
        """Collect if the last time is long ago."""
        now = time.monotonic()
        if now - self._last > COLLECT_EVERY_S:
            self._last = now
            gc.collect()
