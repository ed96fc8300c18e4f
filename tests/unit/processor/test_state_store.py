"""The state store on disk: what it survives, and what it does not trust."""

import errno
import os
import time
from pathlib import Path

import pytest
import structlog

from processor.deduplication.deduplicator import SeenEntry
from processor.deduplication.rocksdb_options import RocksDBResources
from processor.deduplication.state_store import DISORDER_MS, KEPT, PartitionState, StateCorruptError, StateDirectory
from runtime.errors import DependencyError, ProcessorHaltedError
from tests.support.disks import fill, small_disk

WINDOW_MS = 1000
SPAN_MS = WINDOW_MS + 2 * DISORDER_MS
MEMORY = RocksDBResources(8 << 20)


def opened(folder: Path) -> PartitionState:
    folder.mkdir(exist_ok=True)
    return PartitionState(folder, WINDOW_MS, MEMORY)


def folder(root: Path, topic_id: str = "topic-id", window_ms: int = WINDOW_MS) -> StateDirectory:
    return StateDirectory(root, "raw", topic_id, window_ms, MEMORY)


def entries(*names: str) -> dict[bytes, SeenEntry]:
    return {b"\1" + name.encode(): (number, number) for number, name in enumerate(names)}


def test_what_was_written_is_there_after_closing(tmp_path: Path) -> None:
    state = opened(tmp_path)
    assert state.next_offset == -1
    state.write(entries("a", "b"), 2, 1)
    assert state.get([b"\1b", b"\1c", b"\1a"]) == [(1, 1), None, (0, 0)]
    state.close()
    state = opened(tmp_path)
    assert state.next_offset == 2
    assert state.get([b"\1b", b"\1c", b"\1a"]) == [(1, 1), None, (0, 0)]
    state.close()


def test_segments_are_dropped_as_time_goes_on(tmp_path: Path) -> None:
    state = opened(tmp_path)
    for number in range(5):
        state.write({b"\1%d" % number: (number, number * SPAN_MS)}, number + 1, number * SPAN_MS)
        assert len(list(tmp_path.iterdir())) <= KEPT
    assert state.get([b"\1%d" % number for number in range(5)]) == [
        None,
        None,
        None,
        (3, 3 * SPAN_MS),
        (4, 4 * SPAN_MS),
    ]
    state.close()
    state = opened(tmp_path)
    assert state.next_offset == 5
    assert state.get([b"\0013", b"\0014"]) == [(3, 3 * SPAN_MS), (4, 4 * SPAN_MS)]
    state.close()


@pytest.mark.parametrize("lost", ["older", "newer"])
def test_half_a_state_is_not_trusted(tmp_path: Path, lost: str) -> None:
    state = opened(tmp_path)
    state.write(entries("a"), 1, 0)
    state.write(entries("b"), 2, SPAN_MS)
    state.close()
    older, newer = sorted(tmp_path.iterdir(), key=lambda path: int(path.name))
    gone = older if lost == "older" else newer
    for file in gone.iterdir():
        file.unlink()
    gone.rmdir()
    if lost == "older":
        with pytest.raises(StateCorruptError):
            opened(tmp_path)
    else:
        state = opened(tmp_path)
        assert state.next_offset == 1
        state.close()


def test_another_topic_or_window_is_another_state(tmp_path: Path) -> None:
    for differing in ({"topic_id": "made-anew"}, {"window_ms": 2 * WINDOW_MS}):
        state = folder(tmp_path).open(0, 10)
        state.write(entries("a"), 1, 0)
        state.close()
        state = folder(tmp_path).open(0, 10)
        assert state.next_offset == 1
        state.close()
        state = folder(tmp_path, **differing).open(0, 10)
        assert state.next_offset == -1
        state.close()


def test_a_state_ahead_of_the_group_is_built_anew(tmp_path: Path) -> None:
    state = folder(tmp_path).open(0, 10)
    state.write(entries("a"), 10, 0)
    state.close()
    state = folder(tmp_path).open(0, 10)
    assert state.next_offset == 10
    state.close()
    state = folder(tmp_path).open(0, 9)
    assert state.next_offset == -1
    assert state.get([b"\1a"]) == [None]
    state.close()


def test_a_group_whose_offsets_the_brokers_forgot_is_not_started_from_the_beginning(tmp_path: Path) -> None:
    state = folder(tmp_path).open(0, 10)
    state.write(entries("a"), 10, 0)
    state.close()
    with pytest.raises(ProcessorHaltedError, match=r"raw\[0\].*session_timeout_ms \(45 s.*--to-offset 10\b"):
        folder(tmp_path).open(0, 0, has_offset=False)
    state = folder(tmp_path).open(0, 10)
    assert state.next_offset == 10, "nothing was thrown away"
    state.close()
    state = folder(tmp_path).open(1, 0, has_offset=False)
    assert state.next_offset == -1, "a partition that is new to it"
    state.close()


@pytest.mark.parametrize("target", ["CURRENT", "MANIFEST", ".sst"])
@pytest.mark.parametrize("how", ["garbage", "empty", "gone"])
def test_a_corrupt_state_is_built_anew(tmp_path: Path, target: str, how: str) -> None:
    state = folder(tmp_path).open(0, 10_000)
    state.write({b"\1%d" % number: (number, 0) for number in range(10_000)}, 10_000, 0)
    state.close()
    damaged = [path for path in tmp_path.rglob("*") if target in path.name and path.is_file()]
    assert damaged
    for path in damaged:
        if how == "gone":
            path.unlink()
        else:
            path.write_bytes(os.urandom(path.stat().st_size) if how == "garbage" else b"")
    with structlog.testing.capture_logs():
        state = folder(tmp_path).open(0, 10_000)
    keys = [b"\1%d" % number for number in range(10_000)]
    # Either it was found out on opening, or it is on the first read; never is anything missing in silence.
    if state.next_offset != -1:
        with pytest.raises(StateCorruptError):
            state.get(keys)
    state.close()


def test_what_a_crash_left_of_spare_folders_goes(tmp_path: Path) -> None:
    folder(tmp_path).open(0, 0).close()
    spare = tmp_path / "raw" / "0.spare-999999"
    spare.mkdir()
    spare.with_name(spare.name + ".lock").touch()
    folder(tmp_path)
    assert not list((tmp_path / "raw").glob("*spare*"))


def test_a_state_too_old_to_be_of_use_goes(tmp_path: Path) -> None:
    state = folder(tmp_path).open(0, 10)
    state.write(entries("a"), 1, 0)
    state.close()
    for path in (tmp_path / "raw").rglob("*"):
        os.utime(path, (0, 0))
    folder(tmp_path)
    assert not (tmp_path / "raw" / "0").exists()


def test_what_a_process_of_long_wrote_lately_stays_after_it_crashed(tmp_path: Path) -> None:
    state = folder(tmp_path).open(0, 10)
    state.write(entries("a"), 1, 0)
    state.close()
    os.utime(tmp_path / "raw" / "0.lock", (0, 0))  # as it began; nobody was there to let go of it
    state = folder(tmp_path).open(0, 10)
    assert state.next_offset == 1
    state.close()


def test_a_record_dated_far_ahead_does_not_begin_an_endless_segment(tmp_path: Path) -> None:
    now_ms = time.time_ns() // 1_000_000
    state = opened(tmp_path)
    state.write(entries("a"), 1, now_ms)
    state.write(entries("b"), 2, 2**62)
    state.write(entries("c"), 3, now_ms)
    assert all(int(path.name) < now_ms + SPAN_MS for path in tmp_path.iterdir())
    assert state.get([b"\1a", b"\1b", b"\1c"]) == [(0, 0), (0, 0), (0, 0)]
    state.close()


@pytest.mark.parametrize(("before_h", "after_h"), [(3, 3), (-3, -3), (0, 3), (3, 0), (0, -3), (-3, 0), (30, -3)])
def test_what_is_remembered_goes_by_the_records_dates_and_not_by_the_clock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before_h: int, after_h: int
) -> None:
    """Whether the clock is off all the time, or jumps half-way. Twelve hours, with a key every ten minutes."""
    step_ms, steps = 600_000, 72
    begun_ms = time.time_ns() // 1_000_000
    hour_ms, now = 3_600_000, begun_ms
    off = {False: before_h, True: after_h}
    monkeypatch.setattr(time, "time_ns", lambda: (now + off[now - begun_ms >= 6 * hour_ms] * hour_ms) * 1_000_000)
    state = opened(tmp_path)
    for step in range(steps):
        now = begun_ms + step * step_ms
        state.write({b"\1%d" % step: (step, now)}, step + 1, now)
        recent = range(max(0, step - (DISORDER_MS + WINDOW_MS) // step_ms), step + 1)
        assert [seen and seen[0] for seen in state.get([b"\1%d" % one for one in recent])] == list(recent)
    assert len(list(tmp_path.iterdir())) == KEPT, "what is too old was dropped"
    state.close()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EMFILE, errno.ENFILE, errno.ENOMEM])
def test_what_the_system_refuses_is_no_corruption(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def refuse(*_: object) -> None:
        raise RuntimeError(f"IO error: While open a file: {os.strerror(number)}")  # a text, as RocksDB's errors are

    state = folder(tmp_path).open(0, 10)
    state.write(entries("a"), 1, 0)
    state.close()
    with monkeypatch.context() as patched:
        patched.setattr("processor.deduplication.state_store.Rdict", refuse)
        with pytest.raises(DependencyError, match=os.strerror(number)):
            folder(tmp_path).open(0, 10)
    state = folder(tmp_path).open(0, 10)
    assert state.next_offset == 1, "nothing was thrown away"
    state.close()


def test_a_folder_that_cannot_be_used_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DependencyError, match=r"processor\.state_dir"):
        folder(tmp_path / "file" / "state")


@pytest.mark.parametrize("read_only", [False, True])
def test_a_disk_that_is_full_or_read_only_is_said_so(tmp_path: Path, read_only: bool) -> None:
    with small_disk(tmp_path / "disk", "64k", read_only=read_only) as disk:
        if not read_only:
            fill(disk)
        with pytest.raises(DependencyError, match=r"processor\.state_dir"):
            folder(disk / "state").open(0, 0)


def test_a_disk_that_became_full_costs_no_state(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "64m") as disk:
        state = folder(disk).open(0, 10)
        state.write(entries("a"), 1, 0)
        state.close()
        filler = fill(disk)
        with pytest.raises(DependencyError, match=r"processor\.state_dir"):
            folder(disk).open(0, 10)
        filler.unlink()
        state = folder(disk).open(0, 10)
        assert (state.next_offset, state.get([b"\1a"])) == (1, [(0, 0)])
        state.close()
