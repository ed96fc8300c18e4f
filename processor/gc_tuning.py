"""How often Python looks for cycles of objects that nobody uses any more."""

import gc

OBJECTS_PER_RECORD = 100
"""More than twice what the records of two batches, one in hand and one in flight, keep alive in containers each: the
record, its headers, the key and times, the event and its headers."""


def raise_gc_thresholds(batch_max_records: int) -> None:
    """Has Python look for cycles only where far more objects are alive than batches of this size account for.

    Records make no cycles (tests/unit/processor/test_gc_tuning.py), so they are freed as soon as they are dropped, and
    looking for cycles among those of a batch finds nothing, for an eighth of the processor's time. What does make some,
    a membership that broke, is looked for when it ends.
    """
    gc.collect()
    gc.freeze()  # what was imported stays
    gc.set_threshold(OBJECTS_PER_RECORD * max(batch_max_records, 500), 20, 20)
