"""What is remembered of one partition, on disk: RocksDB, as a cache of the raw topic.

The raw topic itself is the log of what was seen, so nothing here is written ahead and nothing is synced: a write is a
batch in memory, together with the offset that it makes the state complete up to, and RocksDB puts whole batches into
its files, in order. After a crash the state is complete up to some earlier offset, and the rest is read from the topic.

Time is cut into generations, each a database of its own, of which the newest two are kept:

    ──── dropped ────┤── previous: at least a window long ──┤── current ──▶ newest timestamp

so expired entries go all at once, and at most twice the window (and the slack) is on disk.
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
"""How far the timestamps of one partition may run backwards: as far as brokers let one be ahead of their clock by
default (`message.timestamp.after.max.ms`), which is far more than clocks differ by."""

KEPT: Final = 2
"""Generations."""

_META: Final = b"\0"
"""Key of `next_offset` and the start of the generation before, or -1; no record's key begins with this byte."""

_NONE: Final = -1

_PAIR = struct.Struct(">qq")

_REFUSALS: Final = (
    *(errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EIO),
    *(errno.EMFILE, errno.ENFILE, errno.ENOMEM),
)
"""What the system refuses: the files are not to blame."""

_WRITE_BUFFER_BYTES: Final = 16 << 20
"""Of one generation: what a crash leaves to be read again from the topic, some 150,000 records a partition."""


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
    """The memory that the states of a process share: blocks of files, their indexes and filters, and write buffers."""

    def __init__(self, limit_bytes: int) -> None:
        self.cache = Cache(limit_bytes)
        buffers = WriteBufferManager.new_write_buffer_manager_with_cache(limit_bytes // 2, False, self.cache)
        self.options = _options(self.cache, buffers)

    def used_bytes(self) -> int:
        return self.cache.get_usage()


class _TimeSegment:
    def __init__(self, path: Path, memory: RocksDBResources) -> None:
        self.path = path
        self.start_ms = int(path.name)
        self.db = Rdict(str(path), memory.options)
        meta = self.db.get(_META)
        self.next_offset, self.previous_ms = _PAIR.unpack(meta) if meta is not None else (_NONE, _NONE)


class PartitionState:
    """See `deduplication.State`. The folder must be this process's own while it is open."""

    def __init__(
        self, folder: Path, window_ms: int, memory: RocksDBResources, release: Callable[[], None] = lambda: None
    ) -> None:
        """Opens what the folder holds, or starts with nothing; `release` is called on closing. Raises StateError."""
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
        """For each key what is remembered of it. Raises StateError."""
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
        """See `deduplication.State`. Raises StateError."""
        with self._faults():
            # Brokers of before Kafka 4.0 take records with any date: one far ahead must not begin a generation that
            # never ends.
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
            # What it holds must be in its files before a later write is: next_offset must never run ahead of it.
            self._segments[-1].db.flush()
        self._segments.append(_TimeSegment(self._folder / str(start_ms), self._memory))
        self._drop_expired()

    def _drop_expired(self) -> None:
        while len(self._segments) > KEPT:
            expired = self._segments.pop(0)
            expired.db.close()
            shutil.rmtree(expired.path)

    def disk_bytes(self) -> int:
        return sum(one.db.property_int_value("rocksdb.total-sst-files-size") or 0 for one in self._segments)

    def close(self, *, release: bool = True) -> None:
        """Puts everything into the files, as far as that is possible, and lets go of them."""
        for segment in self._segments:
            with contextlib.suppress(Exception):  # a full disk, say: what is missing is read from the topic again
                segment.db.close()
        self._segments.clear()
        if release:
            self._release()

    @contextlib.contextmanager
    def _faults(self) -> Iterator[None]:
        """Turns what RocksDB and the file system raise into StateError."""
        try:
            yield
        except Exception as fault:
            # RocksDB's errors are texts: "IO error: No space left on device: While appending to file: …"
            refused = any(os.strerror(number) in str(fault) for number in _REFUSALS)
            kind = StateUnavailableError if refused else StateCorruptError
            raise kind(str(fault), self._folder) from None


def _get(db: Rdict, keys: list[bytes]) -> list[bytes | None]:
    found: list[bytes | None] = db.get(keys)  # type: ignore[arg-type, assignment]
    return found


class NullStateStore:
    """The state where there is no deduplication: remembers nothing but how far it got."""

    def __init__(self, position: int) -> None:
        self.next_offset = position

    def get(self, keys: list[bytes]) -> list[SeenEntry | None]:
        return [None] * len(keys)

    def write(self, entries: Mapping[bytes, SeenEntry], next_offset: int, newest_ms: int) -> None:
        del entries, newest_ms
        self.next_offset = next_offset

    def disk_bytes(self) -> int:
        return 0

    def close(self) -> None:
        pass


def _options(cache: Cache, buffers: WriteBufferManager) -> Options:
    table = BlockBasedOptions()
    table.set_block_cache(cache)
    table.set_block_size(16 << 10)
    table.set_format_version(5)
    # Most keys are new: the filters spare the search for what is not there. What they let through is looked up.
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
    # A lookup of a new key takes a fifth of the time (measured). 16 bits a key.
    options.set_memtable_prefix_bloom_ratio(0.02)
    # With the filter, what a generation takes with next to nothing in it: dozens of partitions must fit into the limit.
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
setattr(_UNLOGGED, "disable_wal", True)  # noqa: B010 (a property, though the stub has it as a method)
