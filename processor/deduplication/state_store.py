"""The state store of one partition: RocksDB on disk, as a cache of the raw topic.

The raw topic itself is the changelog, so there is no write-ahead log and nothing is synced. A write is a batch in
memory together with the offset up to which it completes the state, and RocksDB flushes whole batches in order. After a
crash the state is complete up to some earlier offset, and the rest is restored from the topic.

Entries are kept in time segments, each a database of its own. The newest two segments are kept:

    ──── dropped ────┤── previous: at least a window long ──┤── current ──▶ newest timestamp

Expired entries are therefore dropped all at once, and the disk holds at most twice the window plus the slack.
"""

import contextlib
import errno
import os
import shutil
import struct
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

from rocksdict import (
    BlockBasedOptions,
    Cache,
    DataBlockIndexType,
    DBCompactionStyle,
    DBCompressionType,
    Options,
    Rdict,
    WriteBatch,
    WriteBufferManager,
    WriteOptions,
)

from processor.deduplication.deduplicator import SeenEntry

DISORDER_MS: Final = 3_600_000
"""How far the timestamps of one partition may run backwards. Brokers allow a timestamp to be this far ahead of their
clock by default, which is far more than clocks differ:
https://kafka.apache.org/documentation/#topicconfigs_message.timestamp.after.max.ms"""

KEPT: Final = 2
"""The number of segments that are kept."""

_META: Final = b"\0"
"""The key under which `next_offset` and the start of the previous segment, or -1, are stored. No record's key begins
with this byte."""

_NONE: Final = -1

_PAIR = struct.Struct(">qq")

_REFUSALS: Final = (
    *(errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EIO),
    *(errno.EMFILE, errno.ENFILE, errno.ENOMEM),
)
"""Errors of the operating system that do not mean that the files are damaged."""

_WRITE_BUFFER_BYTES: Final = 16 << 20
"""The write buffer of one segment. After a crash this much is restored from the topic: some 150,000 records for each
partition."""


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


class RocksDBResources:
    """The memory that the states of a process share: file blocks, indexes, filters and write buffers."""

    def __init__(self, limit_bytes: int) -> None:
        """Use at most `limit_bytes`, half of it for write buffers."""
        self.cache = Cache(limit_bytes)
        buffers = WriteBufferManager.new_write_buffer_manager_with_cache(limit_bytes // 2, False, self.cache)
        self.options = _options(self.cache, buffers)

    def used_bytes(self) -> int:
        """Return how much memory is in use."""
        return self.cache.get_usage()


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


def _options(cache: Cache, buffers: WriteBufferManager) -> Options:
    table = BlockBasedOptions()
    table.set_block_cache(cache)
    table.set_block_size(16 << 10)
    table.set_format_version(5)
    # Most keys are new: the filters avoid a search for a missing key.
    # https://github.com/facebook/rocksdb/wiki/RocksDB-Bloom-Filter
    table.set_bloom_filter(10, False)
    table.set_cache_index_and_filter_blocks(True)
    table.set_pin_l0_filter_and_index_blocks_in_cache(True)
    table.set_data_block_index_type(DataBlockIndexType.binary_and_hash())
    options = Options(raw_mode=True)
    options.create_if_missing(True)
    options.set_block_based_table_factory(table)
    options.set_write_buffer_size(_WRITE_BUFFER_BYTES)
    options.set_write_buffer_manager(buffers)
    options.set_memtable_whole_key_filtering(True)
    # With it, looking up a new key takes a fifth of the time (measured). 16 bits a key.
    options.set_memtable_prefix_bloom_ratio(0.02)
    # The memory of an almost empty segment, with the filter: dozens of partitions must fit into the limit.
    options.set_arena_block_size(256 << 10)
    options.set_allow_concurrent_memtable_write(False)  # one thread writes
    options.set_compaction_style(DBCompactionStyle.universal())
    options.set_compression_type(DBCompressionType.lz4())
    options.set_max_open_files(64)
    options.set_keep_log_file_num(1)
    options.set_max_log_file_size(1 << 20)
    options.set_stats_dump_period_sec(0)
    return options


_UNLOGGED = WriteOptions()
setattr(_UNLOGGED, "disable_wal", True)  # noqa: B010 (a property, although the stub declares a method)
