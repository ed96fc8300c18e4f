"""The transactional loop of one group member.

                ┌──────────────────────── no records ◀──────────────────────────┐
                ▼                                                               │
    assigned ▶ poll ──records──▶ map ──▶ finish the ──▶ write ──▶ commit, in a thread of its own:
      ▲  │      ▲                        previous one                in flight, while the next batch
      │  │      │                           │                        is polled and mapped
      │  ▼      │                           ├── committed ──▶ commit the entries to the deduplication state
      │ restore ┘                           │
      └── rewind to the committed offsets ◀─┴── aborted ──▶ roll the entries back

At most one batch is *in hand* (polled and mapped, nothing written) and one is *in flight* (written, its commit under
way). A commit that fails takes both back.

Event                                     Reaction
- retriable error                         repeat the call (inside the sink)
- transaction aborted, or result unknown  abort; roll back; rewind every partition to the committed offset; go on
- producer or consumer unusable, or hung  leave the loop; the service creates another producer and consumer
- producer fenced                         wait for the group to say whether another process did it; then as above
- another process has our place           leave for good; the service waits if it may be one that died
- partitions *revoked*                    finish the transaction in flight first, while they are still ours
- partitions *lost*                       count the transaction in flight as failed; the brokers have fenced it
- brokers refuse a record for good        isolate: one record per transaction from the committed offset on, until the
                                          record is found and becomes a dead letter
- transaction markers at the end          once idle, commit offsets past them in a transaction without records
- too many dead letters by our own fault  leave for good, before the batch is written

Liveness: `poll` is called at least every few seconds in every state, except while a commit, an abort or the committed
offsets are awaited, which takes at most a few times the transaction timeout.
"""

import contextvars
import shutil
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress

import structlog

from processor.batch_metrics import BatchMetrics, Tally
from processor.deduplication.deduplicator import Deduplicator
from processor.deduplication.state_restore import StateRestore
from processor.deduplication.state_store import StateCorruptError, StateError
from processor.gc_tuning import RareCollection
from processor.interfaces import (
    GroupConsumer,
    OpenState,
    RebalanceListener,
    RestoreConsumer,
    TransactionSink,
    WorkerHandle,
)
from processor.pipeline.pipeline import BatchProcessor, DeadLetterLimit
from processor.pipeline.records import DeadLetter, Event, Outcome, RawRecord
from runtime import metrics
from runtime.errors import ClientUnusableError, ProcessorHaltedError, ProducerFencedError, TransactionAbortedError
from runtime.settings.model import ProcessorSettings
from schemas.error_codes import ErrorCode, Stage

log = structlog.get_logger()

IDLE_POLL_S = 0.25
METRICS_INTERVAL_S = 2.0

FENCING_WAIT_S = 7.0
"""Two heartbeat intervals of a member, three seconds each (`heartbeat.interval.ms`), and a margin."""

ISOLATION_BATCH = 200
"""The most records that are processed in a transaction each between two polls."""

PartitionOffset = tuple[int, int]
"""Partition and offset."""


class _InFlight(threading.Thread):
    """A batch whose commit is under way, in a daemon thread: a call that never returns does not keep the process."""

    def __init__(self, commit: Callable[[], None], tally: Tally, positions: dict[int, int]) -> None:
        super().__init__(name="commit", daemon=True)
        self._commit = commit
        self._log_context = contextvars.copy_context()
        self._error: BaseException | None = None
        self.tally, self.positions = tally, positions
        self.start()

    def run(self) -> None:
        """Commit, and keep what it raises."""
        try:
            self._log_context.run(self._commit)
        except BaseException as error:
            self._error = error
            del self  # otherwise the error would keep itself, and everything in its frames, alive

    def result(self) -> None:
        """Return if the commit has succeeded. Raises what it raised."""
        error, self._error = self._error, None
        try:
            if error is not None:
                raise error
        finally:
            del error  # for the same reason


class StreamProcessor:
    """One group member and its producer: polls, maps, and commits a transaction for each batch.

    It is the `RebalanceListener` of its consumer. After ClientUnusableError, InstanceFencedError or InstanceInUseError
    it cannot be used again: close it and create another.
    """

    def __init__(
        self,
        worker: WorkerHandle,
        settings: ProcessorSettings,
        batch_processor: BatchProcessor,
        deduplicator: Deduplicator,
        open_state: OpenState,
        restore_consumer: RestoreConsumer,
        make_sink: Callable[[], TransactionSink],
        make_consumer: Callable[[RebalanceListener], GroupConsumer],
        sources: Collection[str] = (),
        why_unreachable: Callable[[], str] = str,
    ) -> None:
        """Join the group.

        `sources` are the names by which dead letters are counted. `why_unreachable` returns why the brokers cannot be
        reached, as far as is known, or an empty text.

        Raises ClientUnusableError.
        """
        self._why_unreachable = why_unreachable
        self._worker = worker
        self._process_batch = batch_processor
        self._deduplicator = deduplicator
        self._open_state = open_state
        self._restore = StateRestore(deduplicator, restore_consumer)
        self._limit = DeadLetterLimit(settings.dead_letter_limit_ratio, settings.dead_letter_limit_window)
        self._metrics = BatchMetrics(sources)
        self._in_flight: _InFlight | None = None
        self._callback_failure: Exception | None = None
        """An exception from a rebalance callback that could not be handled there."""
        self._rare_collection = RareCollection()
        self._isolating = 0
        """The number of records still to be processed in a transaction each: the brokers refuse one of them."""
        self._last_written: PartitionOffset = (-1, -1)
        """The record that was written last."""
        self._refused: dict[PartitionOffset, str] = {}
        """Records that the brokers refuse for good, among those being isolated, and the brokers' reason."""
        self._isolation_records = settings.batch_max_records
        self._metrics_due = 0.0
        # The producer first: creating it ends a transaction that an earlier producer left open, so that the committed
        # offsets that the consumer then reads are final.
        self._sink = make_sink()
        self._consumer = make_consumer(self)

    def run(self) -> None:
        """Process until the worker is told to stop.

        Raises ClientUnusableError, after which another processor can go on; InstanceFencedError, InstanceInUseError
        and ProcessorHaltedError; and StateUnavailableError if the disk refuses reads or writes.
        """
        fenced: str | None = None
        try:
            while not self._worker.stopping.is_set():
                self.run_once()
            self._finish()
        except ProducerFencedError as error:
            fenced = str(error)
        except TransactionAbortedError as aborted:
            # Closing ends the transaction, and the next member starts from the committed offsets.
            log.warning("transaction aborted", cause=aborted.cause)
        if fenced is not None:
            self._wait_for_fencing()
            raise ClientUnusableError(fenced)

    def run_once(self) -> None:
        """Poll once and process what came. Raises as `run` does."""
        self._worker.beat()
        self._report_status()
        self._rare_collection.collect_if_due()
        try:
            restoring = bool(self._restore.partitions)
            if restoring:
                self._consumer.resume(self._restore.poll())
            batch = self._consumer.poll(0.0 if restoring else IDLE_POLL_S, self._may_wait_for_more)
            self._raise_if_commit_hangs()
            self._raise_callback_failure()
            ours = self._deduplicator.partitions - self._restore.partitions
            self._process([record for record in batch if record.partition in ours])
        except TransactionAbortedError as aborted:
            cause, record_fault = aborted.cause, aborted.record_fault
        except StateCorruptError as error:
            log.warning("state is corrupt, rebuilding it", folder=str(error.folder), reason=str(error))
            shutil.rmtree(error.folder, ignore_errors=True)
            raise ClientUnusableError("the deduplication state is corrupt") from error
        else:
            return
        # Not while the error is handled: the client would keep it for good (runtime/kafka/transactional_producer.py).
        self._abort_and_rewind(cause, record_fault)

    def close(self) -> None:
        """Wait for the transaction in flight, abort what is unfinished, and leave the group."""
        with suppress(ClientUnusableError):
            self._await_commit()
        self._in_flight = None
        self._sink.close()
        try:
            self._consumer.close()
        except (ClientUnusableError, RuntimeError) as error:
            log.warning("consumer not closed cleanly", error=str(error))
        self._restore.close()
        self._close_partitions(list(self._deduplicator.partitions))

    def assigned(self, positions: Mapping[int, int]) -> None:
        """Open the state of new partitions; start to read or to restore them. See `RebalanceListener`."""
        metrics.PROCESSOR_REBALANCES.labels("assigned").inc()
        log.info("assigned", partitions=sorted(positions))
        for partition, position in positions.items():
            self._open_partition(partition, position)
        self._resume_or_restore(positions)

    def revoked(self, partitions: Sequence[int]) -> None:
        """Finish the transaction in flight, then give the partitions up. See `RebalanceListener`."""
        metrics.PROCESSOR_REBALANCES.labels("revoked").inc()
        log.info("revoked", partitions=sorted(partitions))
        try:
            self._finish()
        except (TransactionAbortedError, ClientUnusableError, StateError) as failure:
            self._callback_failure = failure
        self._close_partitions(partitions)

    def lost(self, partitions: Sequence[int]) -> None:
        """Count the transaction in flight as failed, and drop the partitions. See `RebalanceListener`."""
        metrics.PROCESSOR_REBALANCES.labels("lost").inc()
        log.warning("lost", partitions=sorted(partitions))
        self._callback_failure = self._callback_failure or TransactionAbortedError("membership lost")
        self._close_partitions(partitions)

    def _process(self, batch: list[RawRecord]) -> None:
        if not batch:
            if not self._is_committing():
                self._finish()
                self._pass_markers()
        elif not self._isolating:
            self._transact(batch)
        else:
            for record in batch[:ISOLATION_BATCH]:
                self._worker.beat()
                self._transact([record])
                self._finish()
                self._isolating = max(0, self._isolating - 1)
            if not self._isolating:
                self._refused.clear()
            if len(batch) > ISOLATION_BATCH:
                self._rewind()  # to the rest of the batch, after a poll: the group must keep hearing from this member

    def _transact(self, records: list[RawRecord]) -> None:
        outcomes = self._process_batch(records)
        self._finish()
        self._last_written = (records[-1].partition, records[-1].offset)
        if (fault := self._refused.get(self._last_written)) is not None and type(outcomes[0]) is Event:
            code = ErrorCode.TOO_LARGE if fault.endswith("TOO_LARGE") else ErrorCode.REFUSED
            reason = f"the brokers refuse the event's record for good: {fault}"
            outcomes = [DeadLetter(code, Stage.PRODUCE, None, reason)]
        self._limit.check(records, outcomes)
        self._commit(records, outcomes, {record.partition: record.offset + 1 for record in records})

    def _commit(self, records: Sequence[RawRecord], outcomes: Sequence[Outcome], positions: dict[int, int]) -> None:
        """Write the outcomes and start to commit them together with the group's next offsets."""
        self._sink.write(records, outcomes)
        metadata = self._consumer.group_metadata()
        self._deduplicator.prepare_commit(positions)
        tally = self._metrics.tally(records, outcomes)
        self._in_flight = _InFlight(lambda: self._sink.commit(positions, metadata), tally, positions)

    def _pass_markers(self) -> None:
        """Commit offsets past transaction markers and aborted records, which `poll` never returns.

        Called with nothing in hand or in flight. Without it the group would stay short of the end of the topic after
        each redrive, and look behind to everybody who compares offsets.
        """
        ours = self._deduplicator.partitions - self._restore.partitions
        read = self._consumer.positions(ours)
        ahead = {p: offset for p, offset in read.items() if offset > self._deduplicator.next_offset(p)}
        if ahead:
            self._commit([], [], ahead)

    def _is_committing(self) -> bool:
        return self._in_flight is not None and self._in_flight.is_alive()

    def _may_wait_for_more(self) -> bool:
        """Return whether `poll` can wait for more records: the batch could not be written before the commit ends."""
        return self._is_committing() and not self._sink.overdue

    def _raise_if_commit_hangs(self) -> None:
        if self._is_committing() and self._sink.overdue:
            raise ClientUnusableError("the commit hangs")

    def _await_commit(self) -> None:
        """Wait until no commit is under way. Raises ClientUnusableError if it hangs."""
        while self._in_flight is not None and self._is_committing():
            self._raise_if_commit_hangs()
            self._worker.beat()
            self._in_flight.join(1.0)

    def _finish(self) -> None:
        """Wait for the commit under way and record its success. Raises what the commit raised, or StateError."""
        self._await_commit()
        if self._in_flight is None:
            return
        ended, self._in_flight = self._in_flight, None
        ended.result()
        self._metrics.record_commit(ended.tally)
        self._limit.committed()
        self._deduplicator.commit(ended.positions)

    def _abort_and_rewind(self, cause: str, record_fault: str | None) -> None:
        """End the transaction, and start again from the committed offsets.

        `cause` and `record_fault` are those of a TransactionAbortedError. Raises ClientUnusableError,
        ProcessorHaltedError and StateError.
        """
        metrics.PROCESSOR_ABORTS.labels(cause).inc()
        log.warning("transaction aborted", cause=cause)
        self._await_commit()  # if the membership was lost while a commit was under way
        self._in_flight = None
        self._sink.abort()
        self._deduplicator.rollback()
        if record_fault:
            if self._last_written in self._refused:
                raise ProcessorHaltedError(
                    f"the brokers refuse a dead letter for good ({record_fault}): check the topics with "
                    "`sternpost topics check`. Nothing was lost"
                )
            if self._isolating:
                self._refused[self._last_written] = record_fault
            self._isolating = self._isolation_records
        self._rewind()

    def _rewind(self) -> None:
        """Start again from the committed offsets."""
        positions = self._consumer.committed(self._deduplicator.partitions)
        self._consumer.rewind(positions)
        self._resume_or_restore(positions)

    def _resume_or_restore(self, positions: Mapping[int, int]) -> None:
        """Resume each paused partition at its position if its state is complete; otherwise start to restore it."""
        for partition, position in positions.items():
            self._worker.beat()  # asking brokers from where to restore takes a while, for each of many partitions
            if self._deduplicator.next_offset(partition) > position:
                # The group was moved back: the state would take records for duplicates of themselves.
                self._deduplicator.remove(partition)
                self._open_partition(partition, position)
            if self._restore.start(partition, position):
                self._consumer.resume([partition])

    def _open_partition(self, partition: int, position: int) -> None:
        self._worker.beat()  # so may a slow disk
        state = self._open_state(partition, position, self._consumer.has_offset(partition))
        self._deduplicator.add(partition, state)

    def _close_partitions(self, partitions: Sequence[int]) -> None:
        for partition in partitions:
            self._restore.cancel(partition)
            self._deduplicator.remove(partition)
        self._metrics.reset_lag(partitions)

    def _wait_for_fencing(self) -> None:
        """Poll for as long as the group may take to report that another process has our place.

        Raises InstanceFencedError if it does. Without this wait, two processes with one name would keep fencing each
        other's producers, and neither would end.
        """
        self._consumer.pause(self._deduplicator.partitions)
        deadline = time.monotonic() + FENCING_WAIT_S
        while time.monotonic() < deadline and not self._worker.stopping.is_set():
            self._worker.beat()
            self._consumer.poll(IDLE_POLL_S, self._may_wait_for_more)

    def _raise_callback_failure(self) -> None:
        if self._callback_failure is not None:
            failure, self._callback_failure = self._callback_failure, None
            try:
                raise failure
            finally:
                del failure  # otherwise it would keep itself, and the batches, alive through its traceback

    def _report_status(self) -> None:
        if not self._consumer.is_member:
            why = self._why_unreachable()
            self._worker.ready(False, f"not a member of the group{f' ({why})' if why else ''}")
        elif self._restore.partitions:
            self._worker.ready(False, f"catching up on partitions {sorted(self._restore.partitions)}")
        else:
            self._worker.ready(True)
        if time.monotonic() >= self._metrics_due:
            self._metrics_due = time.monotonic() + METRICS_INTERVAL_S
            self._metrics.record_state(
                self._consumer.lag(self._deduplicator.partitions), self._deduplicator.disk_bytes()
            )
