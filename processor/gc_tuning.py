"""How often Python's garbage collector looks for reference cycles: https://docs.python.org/3/library/gc.html."""

import gc

OBJECTS_PER_RECORD = 100
"""The number of container objects allowed for each record of a batch. Two batches can be alive, one in hand and one in
flight. This is more than twice what their records use: the record, its headers, key and times, the event and its
headers."""


def raise_gc_thresholds(batch_max_records: int) -> None:
    """Collect cycles only when far more objects are alive than batches of this size need.

    Records make no cycles (tests/unit/processor/test_gc_tuning.py), so they are freed as soon as they are dropped.
    Searching the records of a batch for cycles finds nothing and takes an eighth of the processor's time. A stream
    processor that fails does make cycles; the service collects them when it ends.
    """
    gc.collect()
    gc.freeze()  # imported modules stay alive anyway
    gc.set_threshold(OBJECTS_PER_RECORD * max(batch_max_records, 500), 20, 20)
