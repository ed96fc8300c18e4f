"""Deduplication on the state store on disk, compared with its definition."""

import shutil
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, assume, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from processor.deduplication.deduplicator import Deduplicator
from processor.deduplication.rocksdb_options import RocksDBResources
from processor.deduplication.state_store import DISORDER_MS, PartitionState
from processor.pipeline.records import RawRecord, identify
from tests.support.examples import examples
from tests.support.raw_records import NOW_MS, raw

WINDOW_MS = 10 * 3_600_000
MEMORY = RocksDBResources(8 << 20)


def is_duplicate(log: list[RawRecord], record: RawRecord) -> bool:
    """Return whether an earlier record has the same key and is less than a window older: the definition."""
    key = identify(record).key
    return any(
        identify(earlier).key == key and record.timestamp_ms - earlier.timestamp_ms < WINDOW_MS
        for earlier in log[: record.offset]
    )


class AgainstTheDefinition(RuleBasedStateMachine):
    """One partition whose log grows; processed, committed, aborted, restarted, moved back, and its state lost."""

    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp())
        self.folder = self.root / "state"
        self.folder.mkdir()
        self.copy = self.root / "copy"
        self.log: list[RawRecord] = []
        self.clock_ms = NOW_MS
        self.position = 0
        """The offset after the last processed record."""
        self.committing: int | None = None
        self.committed = 0

    def teardown(self) -> None:
        self.deduplicator.remove(0)
        shutil.rmtree(self.root)

    @initialize()
    def begin(self) -> None:
        self.deduplicator = Deduplicator(WINDOW_MS)
        self.open()

    def open(self) -> None:
        """Open the state like a worker that is assigned the partition."""
        self.deduplicator.remove(0)
        state = PartitionState(self.folder, WINDOW_MS, MEMORY)
        if state.next_offset > self.committed:
            state.close()
            shutil.rmtree(self.folder)
            self.folder.mkdir()
            state = PartitionState(self.folder, WINDOW_MS, MEMORY)
        self.deduplicator.add(0, state)
        self.position, self.committing = self.committed, None
        next_ms = self.log[self.committed].timestamp_ms if self.committed < len(self.log) else self.clock_ms
        known = max(0, state.next_offset)
        for record in self.log[known : self.committed]:
            if record.timestamp_ms >= next_ms - WINDOW_MS - DISORDER_MS:
                break
            known += 1
        if records := self.log[known : self.committed]:
            self.deduplicator.find_duplicates(records, [identify(record).key for record in records])
        self.deduplicator.prepare_commit({0: self.committed})
        self.deduplicator.commit([0])

    @rule(ids=st.lists(st.integers(0, 8), min_size=1, max_size=8), back_ms=st.integers(0, DISORDER_MS // 2))
    def receive(self, ids: list[int], back_ms: int) -> None:
        for number in ids:
            self.log.append(raw(len(self.log), b"{}", event_id=f"id-{number}", at_ms=self.clock_ms - back_ms))

    @rule(windows=st.sampled_from([0.01, 0.3, 0.9, 1.0, 1.7]))
    def wait(self, windows: float) -> None:
        self.clock_ms += int(windows * WINDOW_MS)

    @precondition(lambda self: self.position < len(self.log))
    @rule(most=st.integers(1, 6))
    def process(self, most: int) -> None:
        records = self.log[self.position : self.position + most]
        self.position += len(records)
        found = self.deduplicator.find_duplicates(records, [identify(record).key for record in records])
        for record, offset in zip(records, found, strict=True):
            assert (offset is not None) == is_duplicate(self.log, record)
            if offset is not None:
                assert offset < record.offset
                assert identify(self.log[offset]).key == identify(record).key

    @precondition(lambda self: self.committing is None and self.position > self.committed)
    @rule()
    def prepare_commit(self) -> None:
        self.committing = self.position
        self.deduplicator.prepare_commit({0: self.position})

    @precondition(lambda self: self.committing is not None)
    @rule()
    def commit(self) -> None:
        assert self.committing is not None
        self.committed, self.committing = self.committing, None
        self.deduplicator.commit([0])

    @rule()
    def abort(self) -> None:
        self.deduplicator.rollback()
        self.position, self.committing = self.committed, None

    @precondition(lambda self: self.committing is not None)
    @rule()
    def commit_and_crash(self) -> None:
        """Crash after the brokers committed and before the state did."""
        assert self.committing is not None
        self.committed = self.committing
        self.open()

    @rule()
    def restart(self) -> None:
        self.open()

    @rule()
    def keep_a_copy(self) -> None:
        self.open()
        self.deduplicator.remove(0)
        shutil.rmtree(self.copy, ignore_errors=True)
        shutil.copytree(self.folder, self.copy)
        self.open()

    @precondition(lambda self: self.copy.exists())
    @rule()
    def restore_the_copy(self) -> None:
        self.deduplicator.remove(0)
        shutil.rmtree(self.folder)
        shutil.copytree(self.copy, self.folder)
        self.open()

    @rule()
    def lose_the_state(self) -> None:
        self.deduplicator.remove(0)
        shutil.rmtree(self.folder)
        self.folder.mkdir()
        self.open()

    @rule(share=st.floats(0, 1))
    def move_the_group_back(self, share: float) -> None:
        assume(self.committed)
        self.committed = int(share * self.committed)
        self.open()

    @invariant()
    def at_most_two_segments_are_kept(self) -> None:
        assert len(list(self.folder.iterdir())) <= 2


TestAgainstTheDefinition = AgainstTheDefinition.TestCase
TestAgainstTheDefinition.settings = settings(
    max_examples=examples(0.6), stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
)


def deduplicator(folder: Path, *partitions: int) -> Deduplicator:
    made = Deduplicator(WINDOW_MS)
    for partition in partitions:
        (folder / str(partition)).mkdir()
        made.add(partition, PartitionState(folder / str(partition), WINDOW_MS, MEMORY))
    return made


def found(seen: Deduplicator, *records: RawRecord) -> list[int | None]:
    return seen.find_duplicates(records, [identify(record).key for record in records])


def test_sources_attempts_and_partitions_are_apart(tmp_path: Path) -> None:
    seen = deduplicator(tmp_path, 0, 1)
    assert found(
        seen,
        raw(0, event_id="x"),
        raw(1, event_id="x", source="other"),
        raw(2, event_id="x", attempt=1),
        raw(0, event_id="x", partition=1),
        raw(3, event_id="x"),
        raw(4, event_id="x", attempt=1),
    ) == [None, None, None, None, 0, 2]


def test_a_window_of_zero_remembers_nothing() -> None:
    assert found(Deduplicator(0), raw(0, event_id="x"), raw(1, event_id="x")) == [None, None]


def test_a_retry_every_few_hours_stays_a_duplicate_beyond_the_window(tmp_path: Path) -> None:
    seen = deduplicator(tmp_path, 0)
    for number in range(20):
        (offset,) = found(seen, raw(number, event_id="x", at_ms=NOW_MS + number * (WINDOW_MS - 1)))
        assert offset == (0 if number else None)


def test_what_is_given_up_while_it_is_committed_is_passed_over(tmp_path: Path) -> None:
    seen = deduplicator(tmp_path, 0, 1)
    found(seen, raw(0), raw(0, partition=1))
    seen.prepare_commit({0: 1, 1: 1})
    seen.remove(1)
    seen.commit([0, 1])
    assert seen.next_offset(0) == 1
    seen.remove(0)


def test_a_record_is_no_duplicate_of_itself(tmp_path: Path) -> None:
    """Even if a state were ahead of the group, no record would be lost."""
    state = PartitionState(tmp_path, WINDOW_MS, MEMORY)
    record = raw(3, event_id="a")
    key = identify(record).key
    state.write({key: (3, NOW_MS)}, 10, NOW_MS)
    deduplicator = Deduplicator(WINDOW_MS)
    deduplicator.add(0, state)
    assert deduplicator.find_duplicates([record], [key]) == [None]
    assert deduplicator.find_duplicates([record.replace(offset=9)], [key]) == [3]
    deduplicator.remove(0)
