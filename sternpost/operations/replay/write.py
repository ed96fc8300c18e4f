"""Write the events of a range again: the events and the checkpoint of each batch in one transaction."""

import threading
import time
from collections import Counter
from collections.abc import Callable

from processor.pipeline.records import Event, headers_of
from runtime.kafka.command_transactions import CommandTransactions
from runtime.kafka.range_consumer import OffsetRange
from runtime.settings.model import Settings
from sternpost.operations.changes_allowed import ChangesAllowed, require
from sternpost.operations.replay.checkpoint import ReplayCheckpoint
from sternpost.operations.replay.replay_pipeline import ReplayPipeline
from sternpost.operations.requested_range import check_retained

BATCH = 5_000
RETENTION_CHECK_INTERVAL_S = 30.0
"""How often to check that retention does not remove records that are still to be replayed."""
_LONGEST_SLEEP_S = 0.2
"""So that an interruption is noticed soon."""


def write(
    settings: Settings,
    allowed: ChangesAllowed | None,
    target: str,
    pipeline: ReplayPipeline,
    ranges: list[OffsetRange],
    checkpoint: ReplayCheckpoint,
    producer: CommandTransactions,
    *,
    rate: float | None,
    interrupted: threading.Event,
    on_done: Callable[[int], None],
) -> Counter[str]:
    """Write the events of the ranges to the topic `target`, `rate` raw records a second at most.

    Stops after a batch if interrupted. Returns the tally of what was committed, as `ReplayBatch.tally` counts. Dead
    letters are counted and not written, since those of the range are in their topic already. `on_done` is told the
    number of further offsets after each batch. Raises DependencyError; what was committed stands, and the replay
    resumes from there. Raises ChangesNotAllowedError.
    """
    require(allowed, "write events again")
    counts: Counter[str] = Counter()
    left = {offset_range.partition: offset_range for offset_range in ranges}
    most = BATCH if rate is None else max(1, min(BATCH, int(rate / 2)))
    started, done, checked = time.monotonic(), 0, 0.0
    for batch in pipeline.batches(most):
        if interrupted.is_set():
            return counts
        passed = sum(offset - left[partition].start for partition, offset in batch.next_offsets.items())
        # An offset without a record is a transaction's marker, or a record that retention has just removed.
        if passed > len(batch.outcomes) + batch.filtered or time.monotonic() - checked > RETENTION_CHECK_INTERVAL_S:
            check_retained(settings, left.values())
            checked = time.monotonic()
        with producer.transaction(checkpoint.offsets(batch.next_offsets), checkpoint.group_metadata):
            for _, outcome in batch.outcomes:
                if type(outcome) is Event:
                    producer.produce(target, key=outcome.key, value=outcome.value, headers=headers_of(outcome))
        for partition, offset in batch.next_offsets.items():
            on_done(offset - left[partition].start)
            left[partition] = left[partition]._replace(start=offset)
        counts += batch.tally()
        done += len(batch.outcomes) + batch.filtered
        while rate and not interrupted.is_set() and (early_s := started + done / rate - time.monotonic()) > 0:
            time.sleep(min(early_s, _LONGEST_SLEEP_S))
    if not interrupted.is_set():
        check_retained(settings, left.values())
        ends = checkpoint.ends()
        with producer.transaction(checkpoint.offsets(ends), checkpoint.group_metadata):
            pass  # transaction markers at the end of a range are not records, and the checkpoint has to pass them too
        for partition, end in ends.items():
            on_done(end - left[partition].start if partition in left else 0)
    return counts
