"""The transactional loop of one member.

           ┌──────────────── nothing there ◀────────────────┐
           ▼                                                 │
         poll ──records──▶ core ──outcomes──▶ finish ──▶ write ──▶ commit, in a thread of its own
           ▲                                 (the batch               │   meanwhile the next batch
           │                                  before)                 ▼   is polled and mapped
           │                                    ├── committed ──▶ settle the deduplication state
           └── rewind to the committed offsets ◀┴── aborted ──▶ forget what it remembered

A batch is in one of two places: `in hand` (polled and mapped, nothing written), or `in flight` (written, its commit
under way). There is one of each at most. A failed commit takes both back.

- *revoked*: what is in flight is finished first, while the partitions are still ours; what is in hand is dropped.
- *lost*: what is in flight is aborted, which the brokers, having fenced us, may have done already.
- *refused for good* by a broker because of one record: from the committed offset on, one record a transaction, until
  that record is found and becomes a dead letter.
"""

import shutil
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotYet

import structlog
from confluent_kafka import KafkaException

from processor.catch_up import CatchUp
from processor.core import Core
from processor.counts import Counts
from processor.dead_letter_limit import DeadLetterLimit
from processor.deduplication import Deduplicator, State
from processor.records import DeadLetter, Event, Outcome, RawRecord
from processor.sink import Aborted, Broken, Sink
from processor.source import Source
from processor.state import StateError
from runtime import metrics
from runtime.errors import Halted
from runtime.supervisor import Worker
from schemas.rejection import ErrorCode, Stage

log = structlog.get_logger()

IDLE_POLL_S = 0.25
LAG_EVERY_S = 2.0

OpenState = Callable[[int, int], State]
"""The state of a partition, complete up to an offset at most."""


class Loop:
    """One membership with one producer; of no more use after Broken or Lost."""

    def __init__(self, worker: Worker, core: Core, deduplicator: Deduplicator, open_state: OpenState) -> None:
        """Joins the group. Raises Broken."""
        settings = worker.settings
        processor = settings.processor
        name = f"{processor.instance_id}-{worker.index}"
        self._worker = worker
        self._topic = settings.topics.raw
        self._core = core
        self._deduplicator = deduplicator
        self._open_state = open_state
        self._limit = DeadLetterLimit(processor.dead_letter_limit_ratio, processor.dead_letter_limit_window)
        self._catch_up = CatchUp(settings, deduplicator)
        self._counts = Counts()
        self._committer = ThreadPoolExecutor(1, "commit")
        self._in_flight: tuple[Future[None], list[Outcome]] | None = None
        self._to_start: set[int] = set()
        """Assigned, and not started: their state has to be caught up first."""
        self._failed: Exception | None = None
        """What went wrong within a callback, where it could not be dealt with."""
        self._singly = 0
        """So many more records go in a transaction each: one of them is refused by the brokers."""
        self._last = self._refused = (-1, -1)
        """Partition and offset of the last record that was written, and of the one that is refused."""
        self._singly_for = processor.batch_max_records
        self._lag_due = 0.0
        self._sink = Sink(settings, f"{processor.group_id}-{name}")
        self._source = Source(settings, name, self._on_assign, self._on_revoke, self._on_lost)

    def run(self) -> None:
        """Until the worker is to stop.

        Raises Broken or Lost, after which a new loop can go on; Halted; StateError where the disk refuses.
        """
        while not self._worker.stopping.is_set():
            self._worker.beat()
            self._tell_health()
            try:
                if self._to_start:
                    self._start_assigned()
                batch = self._source.poll(IDLE_POLL_S, gather=self._in_flight is not None)
                self._raise_failed()
                started = self._deduplicator.partitions - self._to_start
                self._process([record for record in batch if record.partition in started])
            except Aborted as aborted:
                self._go_back(aborted)
            except KafkaException as error:
                raise Broken(error.args[0].name()) from error
            except StateError as error:
                if error.disk:
                    raise
                shutil.rmtree(error.folder, ignore_errors=True)  # to be built anew from the topic
                raise Broken("the deduplication state is corrupt") from error
        self._finish()

    def close(self) -> None:
        """Leaves the group, nothing in flight. What was not finished is aborted."""
        self._committer.shutdown(wait=True)
        self._in_flight = None
        self._sink.close()
        try:
            self._source.close()
        except (KafkaException, RuntimeError, Aborted, Broken, StateError) as error:
            log.warning("membership not closed in order", error=type(error).__name__)
        self._give_up(list(self._deduplicator.partitions))

    def _process(self, batch: list[RawRecord]) -> None:
        if not batch:
            if self._in_flight is not None and self._in_flight[0].done():
                self._finish()
        elif not self._singly:
            self._transact(batch)
        else:
            for record in batch:
                self._transact([record])
                self._finish()
                self._singly = max(0, self._singly - 1)

    def _transact(self, records: list[RawRecord]) -> None:
        outcomes = self._core(records)
        self._finish()
        self._limit.check(outcomes)
        self._last = (records[-1].partition, records[-1].offset)
        if self._singly and self._last == self._refused and type(outcomes[0]) is Event:
            reason = "the brokers refuse the event's record for good"
            outcomes = [DeadLetter(ErrorCode.TOO_LARGE, Stage.PRODUCE, None, reason)]
        self._sink.write(records, outcomes)
        positions = {record.partition: record.offset + 1 for record in records}
        offsets = {(self._topic, partition): offset for partition, offset in positions.items()}
        metadata = self._source.group_metadata()
        self._deduplicator.seal(positions)
        self._in_flight = self._committer.submit(self._sink.commit, offsets, metadata), outcomes

    def _finish(self) -> None:
        """Waits for the commit under way. Raises what it raised, or StateError."""
        if self._in_flight is None:
            return
        future, outcomes = self._in_flight
        while not future.done():
            try:
                future.exception(timeout=1.0)
            except NotYet:
                self._worker.beat()
        self._in_flight = None
        future.result()
        self._counts.add(outcomes)
        self._deduplicator.settle()

    def _go_back(self, aborted: Aborted) -> None:
        """Ends the transaction, and starts again from the committed offsets."""
        metrics.PROCESSOR_ABORTS.labels(aborted.cause).inc()
        log.warning("transaction aborted", cause=aborted.cause)
        if self._in_flight is not None:  # the membership was lost while it was being committed
            self._in_flight[0].exception()
            self._in_flight = None
        self._sink.abort()
        self._deduplicator.forget()
        if aborted.record_fault:
            if self._singly and self._last == self._refused:
                raise Halted(
                    f"the brokers refuse a dead letter for good ({aborted.record_fault}); look for what is wrong with "
                    "the topics with `sternpost topics check`"
                )
            self._refused = self._last if self._singly else (-1, -1)
            self._singly = self._singly_for
        partitions = self._deduplicator.partitions
        self._source.rewind(self._source.committed(partitions))
        self._to_start |= partitions

    def _start_assigned(self) -> None:
        """Catches the state up to where the group is, for each partition that waits for it, and starts them."""
        self._finish()
        self._source.pause(self._deduplicator.partitions)  # so that polling meanwhile takes no record
        for partition, position in self._source.committed(sorted(self._to_start)).items():
            if self._deduplicator.complete_up_to(partition) > position:
                # The group was moved back: the state would take records for duplicates of themselves.
                self._deduplicator.remove(partition)
                self._deduplicator.add(partition, self._open_state(partition, position))
            if not self._catch_up.run(partition, position, self._keep_alive):
                return
            self._to_start.discard(partition)
        self._source.start(self._deduplicator.partitions - self._to_start)

    def _keep_alive(self, partition: int) -> bool:
        """Called while catching up: whether to go on with the partition. The group must go on hearing of us."""
        self._worker.beat()
        self._tell_health()
        self._source.poll(0.0, gather=False)
        self._raise_failed()
        return not self._worker.stopping.is_set() and partition in self._to_start

    def _on_assign(self, positions: dict[int, int]) -> None:
        metrics.PROCESSOR_REBALANCES.labels("assigned").inc()
        log.info("assigned", partitions=sorted(positions))
        for partition, position in positions.items():
            self._deduplicator.add(partition, self._open_state(partition, position))
            self._to_start.add(partition)

    def _on_revoke(self, partitions: list[int]) -> None:
        metrics.PROCESSOR_REBALANCES.labels("revoked").inc()
        log.info("revoked", partitions=partitions)
        try:
            self._finish()
        except (Aborted, Broken, StateError) as failed:
            self._failed = failed
        self._give_up(partitions)

    def _on_lost(self, partitions: list[int]) -> None:
        metrics.PROCESSOR_REBALANCES.labels("lost").inc()
        log.warning("lost", partitions=partitions)
        self._failed = self._failed or Aborted("membership lost")
        self._give_up(partitions)

    def _give_up(self, partitions: list[int]) -> None:
        for partition in partitions:
            self._deduplicator.remove(partition)
            self._to_start.discard(partition)

    def _raise_failed(self) -> None:
        if self._failed is not None:
            failed, self._failed = self._failed, None
            raise failed

    def _tell_health(self) -> None:
        if not self._source.is_member:
            self._worker.ready(False, "no member of the group yet, or no more")
        elif self._to_start:
            self._worker.ready(False, f"catching up on partitions {sorted(self._to_start)}")
        else:
            self._worker.ready(True)
        if time.monotonic() > self._lag_due:
            self._lag_due = time.monotonic() + LAG_EVERY_S
            self._counts.lag(self._source.lag(self._deduplicator.partitions))
