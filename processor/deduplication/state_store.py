"""The states of partitions on this machine's disk: RocksDB, as a cache of the raw topic.

    <state_dir>/<raw topic>/3.lock          locked by the process that has partition 3; says what the state is of
                            3/              the state
                            3.spare-4711/   the state of process 4711, while a frozen process still holds 3.lock

The raw topic itself is the changelog, so there is no write-ahead log and nothing is synced. A write is a batch in
memory together with the offset up to which it completes the state, and RocksDB flushes whole batches in order. After a
crash the state is complete up to some earlier offset, and the rest is restored from the topic.

Entries are kept in time segments, each a database of its own. The newest two segments are kept:

    ──── dropped ────┤── previous: at least a window long ──┤── current ──▶ newest timestamp

Expired entries are therefore dropped all at once, and the disk holds at most twice the window plus the slack.
"""

import contextlib
import errno
import fcntl
import json
import os
import shutil
import struct
import time
from collections.abc import Callable, Iterator, Mapping
from io import FileIO
from pathlib import Path
from typing import Final

import structlog
from rocksdict import Rdict, WriteBatch, WriteOptions

from processor.deduplication.deduplicator import SeenEntry
from processor.deduplication.rocksdb_options import RocksDBResources
from runtime.errors import DependencyError, ProcessorHaltedError
from runtime.kafka.group_offsets import how_to_reset
from runtime.settings.model import GroupProtocol

log = structlog.get_logger()

FORMAT = 1
"""The format of the files on disk; state of another format is rebuilt."""

DISORDER_MS: Final = 3_600_000
"""How far the timestamps of one partition may run backwards, and how much earlier than a raw record its event may be
dated: the clocks of ingest, processor and brokers date them. Brokers allow a timestamp to be this far ahead of their
clock by default, which is far more than clocks differ:
https://cwiki.apache.org/confluence/display/KAFKA/KIP-937%3A+Improve+Message+Timestamp+Validation."""

KEPT: Final = 2
"""The number of segments that are kept."""

_META: Final = b"\0"
"""The key under which `next_offset` and the start of the previous segment, or -1, are stored. No record's key begins
with this byte."""

_NONE: Final = -1

_SPARE: Final = "spare"

_PAIR = struct.Struct(">qq")

_REFUSALS: Final = (
    *(errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EIO),
    *(errno.EMFILE, errno.ENFILE, errno.ENOMEM),
)
"""Errors of the operating system that do not mean that the files are damaged."""


class StateError(Exception):
    """The state of a partition cannot be read or written."""

    def __init__(self, reason: str, folder: Path) -> None:
        """Keep `folder`, the state's own folder."""
        super().__init__(reason)
        self.folder = folder


class StateCorruptError(StateError):
    """The state's files are damaged: delete the folder, and restore the state from the topic."""


class StateUnavailableError(StateError):
    """The disk or the operating system refuses, for example because the disk is full. Rebuilding would not help."""


class _TimeSegment:
    def __init__(self, path: Path, memory: RocksDBResources) -> None:
        self.path = path
        self.start_ms = int(path.name)
        self.db = Rdict(str(path), memory.options)
        meta = self.db.get(_META)
        self.next_offset, self.previous_ms = _PAIR.unpack(meta) if meta is not None else (_NONE, _NONE)


class PartitionState:
    """A `deduplicator.StateStore` on RocksDB. The caller must hold the lock on its folder while it is open."""

    def __init__(
        self, folder: Path, window_ms: int, memory: RocksDBResources, release: Callable[[], None] = lambda: None
    ) -> None:
        """Open what the folder holds, or start empty. `close` calls `release`. Raises StateError."""
        self._folder = folder
        self._memory = memory
        self._release = release
        self._span_ms = window_ms + 2 * DISORDER_MS
        self._segments: list[_TimeSegment] = []
        self.next_offset = _NONE
        with self._faults():
            try:
                self._open_segments()
            except Exception:
                self.close(release=False)
                raise

    def _open_segments(self) -> None:
        for path in sorted(self._folder.iterdir(), key=lambda path: int(path.name)):
            self._segments.append(_TimeSegment(path, self._memory))
        written = [one for one in self._segments if one.next_offset != _NONE]
        if written:
            newest = written[-1]
            self.next_offset = newest.next_offset
            if newest.previous_ms not in (_NONE, *(one.start_ms for one in written[-2:-1])):
                raise ValueError(f"the segment of {newest.previous_ms} is missing")
        self._drop_expired()

    def get(self, keys: list[bytes]) -> list[SeenEntry | None]:
        """Return the entry of each key, or None. Raises StateError."""
        if not self._segments:
            return [None] * len(keys)
        with self._faults():
            *previous, current = self._segments
            found = _get(current.db, keys)
            for segment in previous:
                missing = [index for index, value in enumerate(found) if value is None]
                older = _get(segment.db, [keys[index] for index in missing])
                for index, value in zip(missing, older, strict=True):
                    found[index] = value
            unpack = _PAIR.unpack
            return [None if value is None else unpack(value) for value in found]

    def write(self, entries: Mapping[bytes, SeenEntry], next_offset: int, newest_ms: int) -> None:
        """Write all entries and the next offset, or nothing; see `StateStore`. Raises StateError."""
        with self._faults():
            # Before Kafka 4.0 brokers accept any timestamp: one far in the future must not start a segment that never
            # ends.
            newest_ms = min(newest_ms, time.time_ns() // 1_000_000 + DISORDER_MS)
            if not self._segments or newest_ms >= self._segments[-1].start_ms + self._span_ms:
                self._begin_segment(newest_ms)
            batch = WriteBatch(raw_mode=True)
            put, pack = batch.put, _PAIR.pack
            for key, (offset, timestamp_ms) in entries.items():
                put(key, pack(offset, timestamp_ms))
            put(_META, pack(next_offset, self._segments[-2].start_ms if len(self._segments) > 1 else _NONE))
            self._segments[-1].db.write(batch, _UNLOGGED)
            self.next_offset = next_offset

    def _begin_segment(self, start_ms: int) -> None:
        if self._segments:
            # Flush before anything later is written: next_offset must never run ahead of the entries.
            self._segments[-1].db.flush()
        self._segments.append(_TimeSegment(self._folder / str(start_ms), self._memory))
        self._drop_expired()

    def _drop_expired(self) -> None:
        while len(self._segments) > KEPT:
            expired = self._segments.pop(0)
            expired.db.close()
            shutil.rmtree(expired.path)

    def disk_bytes(self) -> int:
        """Return the size of the files of all segments."""
        return sum(one.db.property_int_value("rocksdb.total-sst-files-size") or 0 for one in self._segments)

    def close(self, *, release: bool = True) -> None:
        """Flush everything to the files if possible, and close them."""
        for segment in self._segments:
            with contextlib.suppress(Exception):  # a full disk, for example: what is missing is restored from the topic
                segment.db.close()
        self._segments.clear()
        if release:
            self._release()

    @contextlib.contextmanager
    def _faults(self) -> Iterator[None]:
        """Turn exceptions of RocksDB and the file system into StateError."""
        try:
            yield
        except Exception as fault:
            # RocksDB reports errors as text: "IO error: No space left on device: While appending to file: …"
            refused = any(os.strerror(number) in str(fault) for number in _REFUSALS)
            kind = StateUnavailableError if refused else StateCorruptError
            raise kind(str(fault), self._folder) from None


def _get(db: Rdict, keys: list[bytes]) -> list[bytes | None]:
    found: list[bytes | None] = db.get(keys)  # type: ignore[arg-type, assignment]
    return found


class NullStateStore:
    """The store to use without deduplication: keeps only the next offset."""

    def __init__(self, position: int) -> None:
        """Start at `position`."""
        self.next_offset = position

    def get(self, keys: list[bytes]) -> list[SeenEntry | None]:
        """Return None for each key."""
        return [None] * len(keys)

    def write(self, entries: Mapping[bytes, SeenEntry], next_offset: int, newest_ms: int) -> None:
        """Keep the next offset."""
        del entries, newest_ms
        self.next_offset = next_offset

    def disk_bytes(self) -> int:
        """Return 0."""
        return 0

    def close(self) -> None:
        """Do nothing."""


class StateDirectory:
    """Opens states. Uses one only if it is a cache of exactly this topic, window and format."""

    def __init__(
        self,
        root: Path,
        topic: str,
        topic_id: str,
        window_ms: int,
        memory: RocksDBResources,
        group_protocol: GroupProtocol = GroupProtocol.CLASSIC,
    ) -> None:
        """Create the directory, and remove leftovers of crashed processes.

        `topic_id` is the cluster's id of the topic, which changes if the topic is deleted and created again.
        `window_ms` is the deduplication window in milliseconds. `group_protocol` is the processor's, for instructions.
        Raises DependencyError if the folder cannot be used.
        """
        self._group_protocol = group_protocol
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
            raise unusable_folder(self._root, error) from None

    def open(self, partition: int, position: int, has_offset: bool = True) -> PartitionState:
        """Open the state of a partition, complete up to `position` at most.

        `has_offset` says whether the group has committed an offset. Raises DependencyError if the disk refuses, and
        ProcessorHaltedError if the group has no offset although the state shows that it had one.
        """
        try:
            lock = self._lock(partition)
        except OSError as error:
            raise unusable_folder(self._root, error) from None
        try:
            with contextlib.suppress(_RebuildRequiredError):
                return self._open_locked(lock, position, has_offset)
            shutil.rmtree(lock.folder, ignore_errors=True)
            return self._open_locked(lock, position, has_offset)
        except (StateError, OSError, _RebuildRequiredError) as error:
            lock.release()
            raise unusable_folder(self._root, error) from None
        except BaseException:
            lock.release()
            raise

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
                f"{how_to_reset(f'--to-offset {known_up_to}', self._group_protocol)}; to process again what is left of "
                f"the partition, delete {lock.folder}. Nothing was lost or doubled"
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


def unusable_folder(folder: Path, error: Exception) -> DependencyError:
    """Return the error for `processor.state_dir` if the disk or the operating system refuses."""
    if os.strerror(errno.EMFILE) in str(error):
        remedy = "raise the limit of open files (ulimit -n, LimitNOFILE=, --ulimit nofile=)"
    else:
        remedy = "free or enlarge its disk, or set processor.state_dir to another"
    return DependencyError(
        f"the state folder {folder} cannot be used ({error}); {remedy}. No event was lost or doubled, and work goes on "
        "where it stopped"
    )


class _RebuildRequiredError(Exception):
    """The state must be deleted and rebuilt."""


class _DirectoryLock:
    """An exclusive lock on a folder, which ends with the process."""

    def __init__(self, folder: Path, spare: bool = False) -> None:
        self.folder = folder
        self._spare = spare
        self._path = folder.with_name(folder.name + ".lock")
        self._file: FileIO | None = None

    @property
    def partition(self) -> str:
        return self.folder.name.partition(".")[0]

    def take(self) -> bool:
        file = FileIO(self._path, "a+")  # not buffered: on a full disk, closing would fail to write once more
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
        """Note whose the folder is from now on. On a full disk, what is noted already stays."""
        assert self._file is not None  # noqa: S101
        if self.identity() == identity:
            os.utime(self._path)
            return
        self._file.truncate(0)
        self._file.write(json.dumps(identity).encode())

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


_UNLOGGED = WriteOptions()
setattr(_UNLOGGED, "disable_wal", True)  # noqa: B010 (a property, although the stub declares a method)
