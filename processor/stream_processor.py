"""The transactional loop of one member.

                ┌─────────────────────── nothing there ◀────────────────────────┐
                ▼                                                               │
    assigned ▶ poll ──records──▶ core ──▶ finish the one ──▶ write ──▶ commit, in a thread of its own:
      ▲  │      ▲                         before                         in flight, while the next batch
      │  │      │                           │                            is polled and goes through the core
      │  ▼      │                           ├── committed ──▶ settle: into the deduplication state
      │ catch up┘                           │
      └── rewind to the committed offsets ◀─┴── aborted ──▶ forget

A batch is at one of two places: *in hand* (polled, through the core, nothing written) or *in flight* (written, its
commit under way), one of each at most. A commit that failed takes both back.

What can happen                            and what is done
- retriable error                          the same call again, in the sink
- transaction aborted, or its end unknown  abort; forget; rewind every partition to the group's offset; go on
- producer or membership broken, or hung   leave the loop, which then is made anew with another producer and membership
- producer fenced                          hear from the group first whether another process did it, then the same
- another process has our place            leave for good
- partitions *revoked*                     what is in flight is finished first, while they are still ours
- partitions *lost*                        what is in flight counts as failed, and the brokers have fenced it
- brokers refuse a record for good         from the group's offset on one record a transaction, until that record is
                                           found and becomes a dead letter
- transaction markers at the end           once idle, a transaction that only moves the group past them
- too many dead letters by our own fault   leave for good, before the batch is written

Liveness: poll is called at least every few seconds, whatever the state of things, except while a commit, an abort or
the group's offsets are waited for, which is bounded by a few times the transaction time-out.
"""

import shutil
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotYet
from contextlib import suppress
from threading import Event as Signal
from typing import NamedTuple, Protocol

import structlog

from processor.batch_metrics import BatchMetrics, Tally
from processor.daemon_future import run_in_daemon_thread
from processor.dead_letter_limit import DeadLetterLimit
from processor.deduplication.deduplicator import Deduplicator, StateStore
from processor.deduplication.state_restore import StateRestore
from processor.deduplication.state_store import StateError
from processor.interfaces import GroupConsumer, RebalanceListener, RestoreConsumer, TransactionSink
from processor.pipeline.batch import BatchProcessor
from processor.pipeline.records import DeadLetter, Event, Outcome, RawRecord
from runtime import metrics
from runtime.errors import ClientUnusableError, ProcessorHaltedError, ProducerFencedError, TransactionAbortedError
from runtime.settings.model import ProcessorSettings
from schemas.error_codes import ErrorCode, Stage

log = structlog.get_logger()

IDLE_POLL_S = 0.25
COUNTED_EVERY_S = 2.0
HEARD_WITHIN_S = 7.0
"""Two heartbeats of a member, three seconds each, and a moment."""
SINGLY_A_TURN = 200
"""Most records that go in a transaction each between two polls."""

PartitionOffset = tuple[int, int]
"""Partition and offset."""

OpenState = Callable[[int, int, bool], StateStore]
"""The state of a partition, complete up to an offset at most; and whether that offset is the group's own."""


class WorkerHandle(Protocol):
    """A `runtime.supervisor.Worker`, or what stands for it."""

    stopping: Signal

    def ready(self, ready: bool, reason: str = "") -> None: ...

    def beat(self) -> None: ...


class _InFlight(NamedTuple):
    commit: Future[None]
    tally: Tally
    positions: dict[int, int]


class StreamProcessor:
    """One membership with one producer; of no more use after Broken or Fenced. It is its source's Listener."""

    def __init__(
        self,
        health: WorkerHandle,
        settings: ProcessorSettings,
        core: BatchProcessor,
        deduplicator: Deduplicator,
        open_state: OpenState,
        history: RestoreConsumer,
        make_sink: Callable[[], TransactionSink],
        make_source: Callable[[RebalanceListener], GroupConsumer],
        sources: Collection[str] = (),
        why_unreachable: Callable[[], str] = str,
    ) -> None:
        """Join the group. `sources`: names that dead letters are counted by. `why_unreachable`: why brokers cannot be
        reached, as far as is known; else empty. Raises ClientUnusableError."""
        self._why_unreachable = why_unreachable
        self._health = health
        self._core = core
        self._deduplicator = deduplicator
        self._open_state = open_state
        self._catch_up = StateRestore(deduplicator, history)
        self._limit = DeadLetterLimit(settings.dead_letter_limit_ratio, settings.dead_letter_limit_window)
        self._counts = BatchMetrics(sources)
        self._in_flight: _InFlight | None = None
        self._failed: Exception | None = None
        """What went wrong within a callback, where it could not be dealt with."""
        self._singly = 0
        """So many more records go in a transaction each: one of them is refused by the brokers."""
        self._last: PartitionOffset = (-1, -1)
        """Of the last record that was written."""
        self._refused: dict[PartitionOffset, str] = {}
        """Records that the brokers refuse, with their reason, among those that go singly."""
        self._singly_for = settings.batch_max_records
        self._count_due = 0.0
        # The producer first: with it, the transaction that an earlier one left open is ended, and the group's offsets
        # are those that count.
        self._sink = make_sink()
        self._source = make_source(self)

    def run(self) -> None:
        """Until the worker is to stop.

        Raises ClientUnusableError, after which a new loop can go on; Fenced and ProcessorHaltedError; StateError where
        the disk refuses.
        """
        try:
            while not self._health.stopping.is_set():
                self.turn()
            self._finish()
        except ProducerFencedError:
            self._hear_from_the_group()
            raise
        except (
            TransactionAbortedError
        ) as aborted:  # closing ends it, and whoever comes next starts from the group's offsets
            log.warning("transaction aborted", cause=aborted.cause)

    def turn(self) -> None:
        """Once round. Raises as `run` does."""
        self._health.beat()
        self._tell()
        try:
            catching_up = bool(self._catch_up.partitions)
            if catching_up:
                self._source.resume(self._catch_up.step())
            batch = self._source.poll(0.0 if catching_up else IDLE_POLL_S, self._committing)
            self._raise_failed()
            ours = self._deduplicator.partitions - self._catch_up.partitions
            self._process([record for record in batch if record.partition in ours])
        except TransactionAbortedError as aborted:
            self._go_back(aborted)
        except StateError as error:
            if error.disk:
                raise
            log.warning("state is corrupt, building it anew", folder=str(error.folder), reason=str(error))
            shutil.rmtree(error.folder, ignore_errors=True)
            raise ClientUnusableError("the deduplication state is corrupt") from error

    def close(self) -> None:
        """Leaves the group, nothing in flight. What was not finished is aborted."""
        with suppress(ClientUnusableError):
            self._await_commit()
        self._in_flight = None
        self._sink.close()
        try:
            self._source.close()
        except (ClientUnusableError, RuntimeError) as error:
            log.warning("membership not closed in order", error=str(error))
        self._catch_up.close()
        self._give_up(list(self._deduplicator.partitions))

    def assigned(self, positions: Mapping[int, int]) -> None:
        metrics.PROCESSOR_REBALANCES.labels("assigned").inc()
        log.info("assigned", partitions=sorted(positions))
        for partition, position in positions.items():
            self._take_on(partition, position)
        self._start(positions)

    def revoked(self, partitions: Sequence[int]) -> None:
        metrics.PROCESSOR_REBALANCES.labels("revoked").inc()
        log.info("revoked", partitions=sorted(partitions))
        try:
            self._finish()
        except (TransactionAbortedError, ClientUnusableError, StateError) as failed:
            self._failed = failed
        self._give_up(partitions)

    def lost(self, partitions: Sequence[int]) -> None:
        metrics.PROCESSOR_REBALANCES.labels("lost").inc()
        log.warning("lost", partitions=sorted(partitions))
        self._failed = self._failed or TransactionAbortedError("membership lost")
        self._give_up(partitions)

    def _process(self, batch: list[RawRecord]) -> None:
        if not batch:
            if not self._committing():
                self._finish()
                self._pass_markers()
        elif not self._singly:
            self._transact(batch)
        else:
            for record in batch[:SINGLY_A_TURN]:
                self._health.beat()
                self._transact([record])
                self._finish()
                self._singly = max(0, self._singly - 1)
            if not self._singly:
                self._refused.clear()
            if len(batch) > SINGLY_A_TURN:
                self._rewind()  # to the rest of it, after a poll: the group must go on hearing of us

    def _transact(self, records: list[RawRecord]) -> None:
        outcomes = self._core(records)
        self._finish()
        self._last = (records[-1].partition, records[-1].offset)
        if (fault := self._refused.get(self._last)) is not None and type(outcomes[0]) is Event:
            code = ErrorCode.TOO_LARGE if fault.endswith("TOO_LARGE") else ErrorCode.REFUSED
            reason = f"the brokers refuse the event's record for good: {fault}"
            outcomes = [DeadLetter(code, Stage.PRODUCE, None, reason)]
        self._limit.check(records, outcomes)
        self._commit(records, outcomes, {record.partition: record.offset + 1 for record in records})

    def _commit(self, records: Sequence[RawRecord], outcomes: Sequence[Outcome], positions: dict[int, int]) -> None:
        """Write the outcomes and begin to commit them, together with the group's next offsets."""
        self._sink.write(records, outcomes)
        metadata = self._source.group_metadata()
        self._deduplicator.seal(positions)
        commit = run_in_daemon_thread("commit", lambda: self._sink.commit(positions, metadata))
        self._in_flight = _InFlight(commit, self._counts.tally(records, outcomes), positions)

    def _pass_markers(self) -> None:
        """Move the group past transaction markers and aborted records, which `poll` never returns.

        Nothing is in hand or in flight. Otherwise the group would stay short of the end of the topic after each
        redrive, and look behind to everybody who compares offsets.
        """
        ours = self._deduplicator.partitions - self._catch_up.partitions
        read = self._source.positions(ours)
        ahead = {p: offset for p, offset in read.items() if offset > self._deduplicator.complete_up_to(p)}
        if ahead:
            self._commit([], [], ahead)

    def _committing(self) -> bool:
        """Raises ClientUnusableError where the commit hangs."""
        if self._in_flight is None or self._in_flight.commit.done():
            return False
        if self._sink.overdue:
            raise ClientUnusableError("the commit hangs")
        return True

    def _await_commit(self) -> None:
        """Until no commit is under way. Raises ClientUnusableError where it hangs."""
        while self._in_flight is not None and self._committing():
            self._health.beat()
            with suppress(NotYet):
                self._in_flight.commit.exception(timeout=1.0)

    def _finish(self) -> None:
        """Waits for the commit under way. Raises what it raised, or StateError."""
        self._await_commit()
        if self._in_flight is None:
            return
        commit, tally, positions = self._in_flight
        self._in_flight = None
        try:
            commit.result()
        finally:
            del commit  # or its error would hold itself by this frame
        self._counts.committed(tally)
        self._limit.committed()
        self._deduplicator.settle(positions)

    def _go_back(self, aborted: TransactionAbortedError) -> None:
        """Ends the transaction, and starts again from the group's offsets.

        Raises ClientUnusableError, ProcessorHaltedError and StateError.
        """
        metrics.PROCESSOR_ABORTS.labels(aborted.cause).inc()
        log.warning("transaction aborted", cause=aborted.cause)
        self._await_commit()  # of what was in flight when the membership was lost
        self._in_flight = None
        self._sink.abort()
        self._deduplicator.forget()
        if aborted.record_fault:
            if self._last in self._refused:
                raise ProcessorHaltedError(
                    f"the brokers refuse a dead letter for good ({aborted.record_fault}): see what is wrong with the "
                    "topics with `sternpost topics check`. Nothing was lost"
                )
            if self._singly:
                self._refused[self._last] = aborted.record_fault
            self._singly = self._singly_for
        self._rewind()

    def _rewind(self) -> None:
        """Starts again from the group's offsets."""
        positions = self._source.committed(self._deduplicator.partitions)
        self._source.rewind(positions)
        self._start(positions)

    def _start(self, positions: Mapping[int, int]) -> None:
        """Has paused partitions read from these positions, once their state is complete up to them."""
        for partition, position in positions.items():
            if self._deduplicator.complete_up_to(partition) > position:
                # The group was moved back: the state would take records for duplicates of themselves.
                self._deduplicator.remove(partition)
                self._take_on(partition, position)
            if self._catch_up.begin(partition, position):
                self._source.resume([partition])

    def _take_on(self, partition: int, position: int) -> None:
        state = self._open_state(partition, position, self._source.has_offset(partition))
        self._deduplicator.add(partition, state)

    def _give_up(self, partitions: Sequence[int]) -> None:
        for partition in partitions:
            self._catch_up.end(partition)
            self._deduplicator.remove(partition)
        self._counts.gone(partitions)

    def _hear_from_the_group(self) -> None:
        """Polls for as long as the group may take to tell that another process has our place. Raises Fenced.

        Without, two processes of one name would fence each other's producers in turn, and neither would end.
        """
        self._source.pause(self._deduplicator.partitions)
        deadline = time.monotonic() + HEARD_WITHIN_S
        while time.monotonic() < deadline and not self._health.stopping.is_set():
            self._health.beat()
            self._source.poll(IDLE_POLL_S, self._committing)

    def _raise_failed(self) -> None:
        if self._failed is not None:
            failed, self._failed = self._failed, None
            try:
                raise failed
            finally:
                del failed  # or it would hold itself, and the batches, by its traceback

    def _tell(self) -> None:
        if not self._source.is_member:
            why = self._why_unreachable()
            self._health.ready(False, f"no member of the group yet, or no more{f' ({why})' if why else ''}")
        elif self._catch_up.partitions:
            self._health.ready(False, f"catching up on partitions {sorted(self._catch_up.partitions)}")
        else:
            self._health.ready(True)
        if time.monotonic() >= self._count_due:
            self._count_due = time.monotonic() + COUNTED_EVERY_S
            self._counts.now(self._source.lag(self._deduplicator.partitions), self._deduplicator.disk_bytes())
