"""Brings the deduplication state of partitions up to where the group is, by reading the raw topic itself.

It goes by steps, between those of the loop, so that other partitions are not held up. Catching up is processing
without outcomes: the state comes out as if this worker had had the partition all along.
"""

import time
from dataclasses import dataclass

import structlog

from processor.deduplication.deduplicator import Deduplicator
from processor.interfaces import RestoreConsumer
from processor.pipeline.dedup_key import identify
from runtime import metrics

log = structlog.get_logger()

PROGRESS_EVERY_S = 5.0
STEP_S = 0.1
"""How long a step waits for records."""


@dataclass
class _Progress:
    position: int
    first: int
    begun: float
    said: float
    records: int = 0


class StateRestore:
    """Of the partitions of one worker."""

    def __init__(self, deduplicator: Deduplicator, history: RestoreConsumer) -> None:
        self._deduplicator = deduplicator
        self._history = history
        self._under_way: dict[int, _Progress] = {}

    @property
    def partitions(self) -> frozenset[int]:
        """Those that are not caught up yet."""
        return frozenset(self._under_way)

    def begin(self, partition: int, position: int) -> bool:
        """Whether the partition's state is complete up to `position`; if not, catching up begins. Raises Broken."""
        self.end(partition)
        known = self._deduplicator.complete_up_to(partition)
        if known == position:
            return True
        first = self._history.begin(partition, known, position)
        now = time.monotonic()
        self._under_way[partition] = _Progress(position, first, now, now)
        log.info("catching up", partition=partition, records=position - first)
        return False

    def step(self) -> list[int]:
        """Reads on, for a moment; gives the partitions that are now caught up. Raises Broken and StateError."""
        records, done = self._history.read(STEP_S)
        if records:
            self._deduplicator.first_offsets(records, [identify(record).key for record in records])
            metrics.PROCESSOR_CAUGHT_UP.labels().inc(len(records))
        reached = {record.partition: record.offset + 1 for record in records}
        reached |= {partition: self._under_way[partition].position for partition in done}
        self._deduplicator.seal(reached)
        self._deduplicator.settle(reached)
        for record in records:
            self._under_way[record.partition].records += 1
        for partition, progress in list(self._under_way.items()):
            self._tell(partition, progress, partition in done)
        for partition in done:
            del self._under_way[partition]
        return done

    def end(self, partition: int) -> None:
        """Gives up a partition, if it is being caught up."""
        if self._under_way.pop(partition, None) is not None:
            self._history.end(partition)

    def close(self) -> None:
        self._under_way.clear()
        self._history.close()

    def _tell(self, partition: int, progress: _Progress, done: bool) -> None:
        now = time.monotonic()
        if done:
            seconds = round(now - progress.begun, 1)
            log.info("caught up", partition=partition, records=progress.records, seconds=seconds)
        elif now - progress.said >= PROGRESS_EVERY_S:
            progress.said = now
            of = progress.position - progress.first
            log.info("catching up", partition=partition, done=progress.records, of=of)
