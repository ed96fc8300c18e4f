"""The directory that holds the states of partitions on this machine, and the locks on them.

<state_dir>/<raw topic>/3.lock    locked by the process that has partition 3; its content identifies the state
                        3/        the state
                        3.spare-4711/   the state of process 4711, while a frozen process still holds 3.lock
"""

import contextlib
import errno
import fcntl
import json
import os
import shutil
import time
from pathlib import Path
from typing import TextIO

import structlog

from processor.deduplication.state_store import (
    DISORDER_MS,
    PartitionState,
    RocksDBResources,
    StateCorruptError,
    StateError,
    StateUnavailableError,
)
from processor.offset_reset import how_to_reset
from runtime.errors import DependencyError, ProcessorHaltedError

log = structlog.get_logger()

FORMAT = 1
"""The format of the files on disk; state of another format is rebuilt."""

_SPARE = "spare"


class StateDirectory:
    """Opens states. Uses one only if it is a cache of exactly this topic, window and format."""

    def __init__(self, root: Path, topic: str, topic_id: str, window_ms: int, memory: RocksDBResources) -> None:
        """Create the directory, and remove leftovers of crashed processes.

        `topic_id` is the cluster's id of the topic, which changes if the topic is deleted and created again.
        `window_ms` is the deduplication window in milliseconds. Raises DependencyError if the folder cannot be used.
        """
        self._root = root
        self._topic = topic
        self._folder = root / topic
        self._window_ms = window_ms
        self._memory = memory
        self._identity = {"format": FORMAT, "topic_id": topic_id, "window_ms": window_ms}
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._sweep()
        except OSError as error:
            raise self._unusable(str(error)) from None

    def open(self, partition: int, position: int, has_offset: bool = True) -> PartitionState:
        """Open the state of a partition, complete up to `position` at most.

        `has_offset` says whether the group has committed an offset. Raises DependencyError if the disk refuses, and
        ProcessorHaltedError if the group has no offset although the state shows that it had one.
        """
        try:
            lock = self._lock(partition)
        except OSError as error:
            raise self._unusable(str(error)) from None
        try:
            with contextlib.suppress(_RebuildRequiredError):
                return self._open_locked(lock, position, has_offset)
            shutil.rmtree(lock.folder, ignore_errors=True)
            return self._open_locked(lock, position, has_offset)
        except (StateError, OSError, _RebuildRequiredError) as error:
            lock.release()
            raise self._unusable(str(error)) from None
        except BaseException:
            lock.release()
            raise

    def unusable(self, error: StateError) -> DependencyError:
        """Return the error to raise if the disk refuses."""
        return self._unusable(str(error))

    def _open_locked(self, lock: "_DirectoryLock", position: int, has_offset: bool) -> PartitionState:
        if lock.identity() != self._identity:
            shutil.rmtree(lock.folder, ignore_errors=True)
        try:
            lock.folder.mkdir(exist_ok=True)
            lock.identify(self._identity)
        except OSError as error:
            raise StateUnavailableError(str(error), lock.folder) from None
        try:
            state = PartitionState(lock.folder, self._window_ms, self._memory, lock.release)
        except StateCorruptError as error:
            log.warning("state is corrupt, rebuilding it", folder=str(lock.folder), reason=str(error))
            raise _RebuildRequiredError(str(error)) from None
        if state.next_offset > position and not has_offset:
            known_up_to = state.next_offset
            state.close(release=False)
            raise ProcessorHaltedError(
                f"the group has no offset in {self._topic}[{lock.partition}], but it had: this machine's state knows "
                f"the records before {known_up_to}. Brokers forget the offsets of a group that was away for "
                "offsets.retention.minutes. To go on from there, "
                f"{how_to_reset(f'--to-offset {known_up_to}')}; to process again what is left of the partition, "
                f"delete {lock.folder}. Nothing was lost or doubled"
            )
        if state.next_offset > position:
            # The group was moved back, or the topic lost records: the state would take records for duplicates of
            # themselves.
            log.warning("state is ahead of the group, rebuilding it", folder=str(lock.folder))
            state.close(release=False)
            raise _RebuildRequiredError("it is ahead of the group")
        return state

    def _lock(self, partition: int) -> "_DirectoryLock":
        lock = _DirectoryLock(self._folder / str(partition))
        if lock.take():
            return lock
        lock = _DirectoryLock(self._folder / f"{partition}.{_SPARE}-{os.getpid()}", spare=True)
        log.warning("another process holds the state, using a spare folder", folder=str(lock.folder))
        if not lock.take():
            raise BlockingIOError(f"{lock.folder} is held by another process")
        return lock

    def _sweep(self) -> None:
        """Remove spare folders that crashed processes left behind, and states too old to be useful."""
        oldest = time.time() - (self._window_ms + 2 * DISORDER_MS) / 1000
        for file in self._folder.glob("*.lock"):
            spare = _SPARE in file.name
            lock = _DirectoryLock(file.with_suffix(""), spare)
            if (spare or lock.written_s() < oldest) and lock.take():
                shutil.rmtree(lock.folder, ignore_errors=True)
                lock.release()

    def _unusable(self, reason: str) -> DependencyError:
        if os.strerror(errno.EMFILE) in reason:
            remedy = "raise the limit of open files (ulimit -n, LimitNOFILE=, --ulimit nofile=)"
        else:
            remedy = "free or enlarge its disk, or set processor.state_dir to another"
        return DependencyError(
            f"the state folder {self._root} cannot be used ({reason}); {remedy}. No event was lost or doubled, and "
            "work goes on where it stopped"
        )


class _RebuildRequiredError(Exception):
    """The state must be deleted and rebuilt."""


class _DirectoryLock:
    """An exclusive lock on a folder, which ends with the process."""

    def __init__(self, folder: Path, spare: bool = False) -> None:
        self.folder = folder
        self._spare = spare
        self._path = folder.with_name(folder.name + ".lock")
        self._file: TextIO | None = None

    @property
    def partition(self) -> str:
        return self.folder.name.partition(".")[0]

    def take(self) -> bool:
        file = self._path.open("a+", encoding="utf-8")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            return False
        self._file = file
        return True

    def identity(self) -> object:
        assert self._file is not None  # noqa: S101
        self._file.seek(0)
        try:
            return json.loads(self._file.read())
        except ValueError:
            return None

    def identify(self, identity: object) -> None:
        assert self._file is not None  # noqa: S101
        self._file.seek(0)
        self._file.truncate()
        self._file.write(json.dumps(identity))
        self._file.flush()

    def written_s(self) -> float:
        """Return when the state was last written, in Unix seconds: now, if another process is changing its files."""
        try:
            return max(path.stat().st_mtime for path in (self._path, *self.folder.rglob("*")))
        except FileNotFoundError:
            return time.time()

    def release(self) -> None:
        if self._file is None:
            return
        if self._spare:
            shutil.rmtree(self.folder, ignore_errors=True)
            self._path.unlink(missing_ok=True)
        self._file.close()
        self._file = None
