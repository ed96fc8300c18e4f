"""Restores the deduplication state of partitions up to the committed offsets by reading the raw topic again.

The stream processor polls the restore between its own polls, so that other partitions are not delayed. A restore
processes the records without producing outcomes: the state ends as if this worker had always had the partition.
"""

import time
from dataclasses import dataclass

import structlog

from processor.deduplication.deduplicator import Deduplicator
from processor.interfaces import RestoreConsumer
from processor.pipeline.records import identify
from runtime import metrics

log = structlog.get_logger()

PROGRESS_INTERVAL_S = 5.0
POLL_TIMEOUT_S = 0.1
"""How long one poll waits for records."""


@dataclass
class _Progress:
    position: int
    first: int
    begun: float
    logged: float
    records: int = 0


class StateRestore:
    """Restores the state of the partitions of one worker."""

    def __init__(self, deduplicator: Deduplicator, consumer: RestoreConsumer) -> None:
        """Restore the states of `deduplicator` from the records that `consumer` reads."""
        self._deduplicator = deduplicator
        self._consumer = consumer
        self._progress: dict[int, _Progress] = {}

    @property
    def partitions(self) -> frozenset[int]:
        """The partitions whose restore is under way."""
        return frozenset(self._progress)

    def start(self, partition: int, position: int) -> bool:
        """Return whether a partition's state is complete up to `position`; if it is not, start to restore it.

        Raises ClientUnusableError.
        """
        self.cancel(partition)
        known = self._deduplicator.next_offset(partition)
        if known == position:
            return True
        first = self._consumer.start(partition, known, position)
        now = time.monotonic()
        self._progress[partition] = _Progress(position, first, now, now)
        log.info("catching up", partition=partition, records=position - first)
        return False

    def poll(self) -> list[int]:
        """Read some records, and return the partitions whose restore is now complete.

        Raises ClientUnusableError and StateError.
        """
        records, done = self._consumer.read(POLL_TIMEOUT_S)
        if records:
            self._deduplicator.find_duplicates(records, [identify(record).key for record in records])
            metrics.PROCESSOR_CAUGHT_UP.labels().inc(len(records))
        reached = {record.partition: record.offset + 1 for record in records}
        reached |= {partition: self._progress[partition].position for partition in done}
        self._deduplicator.prepare_commit(reached)
        self._deduplicator.commit(reached)
        for record in records:
            self._progress[record.partition].records += 1
        for partition, progress in list(self._progress.items()):
            self._log_progress(partition, progress, partition in done)
        for partition in done:
            del self._progress[partition]
        return done

    def cancel(self, partition: int) -> None:
        """Stop restoring a partition, if it is being restored."""
        if self._progress.pop(partition, None) is not None:
            self._consumer.stop(partition)

    def close(self) -> None:
        """Stop all restores and close the consumer."""
        self._progress.clear()
        self._consumer.close()

    def _log_progress(self, partition: int, progress: _Progress, done: bool) -> None:
        now = time.monotonic()
        if done:
            seconds = round(now - progress.begun, 1)
            log.info("caught up", partition=partition, records=progress.records, seconds=seconds)
        elif now - progress.logged >= PROGRESS_INTERVAL_S:
            progress.logged = now
            of = progress.position - progress.first
            log.info("catching up", partition=partition, done=progress.records, of=of)
