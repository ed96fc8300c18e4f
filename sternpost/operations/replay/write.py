"""Writes the range anew: events and progress in one transaction a batch."""

import time
from collections import Counter
from collections.abc import Callable

from processor.pipeline.records import Event, headers_of
from runtime.kafka.range_consumer import OffsetRange
from runtime.kafka.transactional_producer import StopRequest, TransactionalProducer
from runtime.settings.model import Settings
from sternpost.operations.replay.offset_range import check_kept
from sternpost.operations.replay.progress import Progress
from sternpost.operations.replay.replay_pipeline import ReplayPipeline

BATCH = 5_000
LOOK_EVERY_S = 30.0
"""How often it is checked that retention does not remove what is still to come."""


def write(
    settings: Settings,
    target: str,
    mapping: ReplayPipeline,
    spans: list[OffsetRange],
    progress: Progress,
    transactions: TransactionalProducer,
    *,
    rate: float | None,
    interrupted: StopRequest,
    on_done: Callable[[int], None],
) -> Counter[str]:
    """Writes the events of the spans to the topic `target`, at most `rate` raw records a second; stops after a batch
    where interrupted. Gives `Mapped.tally` of what was committed.

    Dead letters are counted and not written: those of the range are in their topic already. Raises DependencyError;
    what was committed stands, and the same replay goes on from there.
    """
    counts: Counter[str] = Counter()
    left = {span.partition: span for span in spans}
    most = BATCH if rate is None else max(1, min(BATCH, int(rate / 2)))
    begun, done, looked = time.monotonic(), 0, 0.0
    for mapped in mapping.batches(most):
        if interrupted:
            return counts
        passed = sum(position - left[partition].start for partition, position in mapped.positions.items())
        # Offsets without a record are a transaction's marker, or what retention has just removed.
        if passed > len(mapped.outcomes) + mapped.passed_over or time.monotonic() - looked > LOOK_EVERY_S:
            check_kept(settings, left.values())
            looked = time.monotonic()
        with transactions.one(progress.offsets(mapped.positions), progress.group):
            for _, outcome in mapped.outcomes:
                if type(outcome) is Event:
                    transactions.produce(target, key=outcome.key, value=outcome.value, headers=headers_of(outcome))
        for partition, position in mapped.positions.items():
            on_done(position - left[partition].start)
            left[partition] = left[partition]._replace(start=position)
        counts += mapped.tally()
        done += len(mapped.outcomes) + mapped.passed_over
        while rate and not interrupted and (early := begun + done / rate - time.monotonic()) > 0:
            time.sleep(min(early, 0.2))
    if not interrupted:
        check_kept(settings, left.values())
        with transactions.one(progress.offsets(progress.ended()), progress.group):
            pass  # the markers at the ends of the spans are no records, and yet they are behind us
        for partition, end in progress.ended().items():
            on_done(end - left[partition].start if partition in left else 0)
    return counts
