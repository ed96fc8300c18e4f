"""The memory that the states of many partitions share."""

from pathlib import Path

from processor.deduplication.rocksdb_options import RocksDBResources
from processor.deduplication.state_store import PartitionState

WINDOW_MS = 1000


def test_many_partitions_keep_to_the_memory_limit(tmp_path: Path) -> None:
    limit_bytes, at = 128 << 20, 1_000
    memory = RocksDBResources(limit_bytes)
    states = []
    for partition in range(64):
        (tmp_path / str(partition)).mkdir()
        states.append(PartitionState(tmp_path / str(partition), WINDOW_MS, memory))
    for turn in range(12):
        written = {b"\1key-%06d-%d" % (index, turn): (index, at) for index in range(1_000)}
        for state in states:
            state.write(written, 1_000 * (turn + 1), at)
        tables = [
            segment.db.property_int_value("rocksdb.cur-size-all-mem-tables") or 0
            for state in states
            for segment in state._segments
        ]
        assert sum(tables) <= memory.used_bytes() < limit_bytes
    for state in states:
        state.close()
