"""The state store, and processes that are killed, hold it, or may open few files."""

import signal
import subprocess
import sys
from pathlib import Path

import structlog

from processor.deduplication.rocksdb_options import RocksDBResources
from processor.deduplication.state_store import PartitionState, StateDirectory

MEMORY = RocksDBResources(8 << 20)
WRITER = """
import sys
from pathlib import Path
from processor.deduplication.rocksdb_options import RocksDBResources
from processor.deduplication.state_store import PartitionState

state = PartitionState(Path(sys.argv[1]), 10**9, RocksDBResources(1 << 20))
value = 0
while True:
    state.write({b"\\1key-%d" % (value + i): (value + i, value + i) for i in range(1000)}, value + 1000, value)
    value += 1000
    print(value, flush=True)
"""

HOLDER = """
import sys, time
from pathlib import Path
from processor.deduplication.rocksdb_options import RocksDBResources
from processor.deduplication.state_store import StateDirectory

state = StateDirectory(Path(sys.argv[1]), "raw", "topic-id", 1000, RocksDBResources(1 << 20)).open(0, 0)
print("held", flush=True)
sys.stdin.read()
"""

FEW_FILES = """
import os, resource, sys
from pathlib import Path
from processor.deduplication.rocksdb_options import RocksDBResources
from processor.deduplication.state_store import StateDirectory
from runtime.errors import DependencyError

states = StateDirectory(Path(sys.argv[1]), "raw", "topic-id", 1000, RocksDBResources(1 << 20))
limit = os.open(os.devnull, os.O_RDONLY) + 2  # one descriptor more: for the lock, and none for the database
resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
try:
    states.open(0, 0)
except DependencyError as error:
    print(error)
"""


def test_a_killed_process_leaves_all_before_some_offset(tmp_path: Path) -> None:
    writer = subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert writer.stdout
    for line in writer.stdout:  # until a write buffer was flushed, which a thread of RocksDB's own does
        if int(line) >= 300_000 and any(tmp_path.rglob("*.sst")):
            break
    writer.send_signal(signal.SIGKILL)
    writer.wait()
    writer.stdout.close()
    state = PartitionState(tmp_path, 10**9, MEMORY)
    known = state.next_offset
    assert known > 0, "nothing reached the disk: the test shows nothing"
    assert state.get([b"\1key-%d" % number for number in range(known)]) == [(number, number) for number in range(known)]
    state.close()


def test_a_state_that_a_frozen_process_holds_is_left_to_it(tmp_path: Path) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdin
    assert holder.stdout
    assert holder.stdout.readline() == "held\n"
    holder.send_signal(signal.SIGSTOP)
    with structlog.testing.capture_logs() as logs:
        state = StateDirectory(tmp_path, "raw", "topic-id", 1000, MEMORY).open(0, 0)
    assert [line["event"] for line in logs] == ["another process holds the state, using a spare folder"]
    state.write({b"\1a": (0, 0)}, 1, 0)
    assert len(list((tmp_path / "raw").glob("0.spare-*.lock"))) == 1
    state.close()
    assert not list((tmp_path / "raw").glob("*spare*"))
    holder.send_signal(signal.SIGCONT)
    holder.communicate()


def test_too_few_open_files_are_not_called_a_full_disk(tmp_path: Path) -> None:
    said = subprocess.run([sys.executable, "-c", FEW_FILES, str(tmp_path)], capture_output=True, text=True, check=True)
    assert "ulimit -n" in said.stdout, said
    assert "disk" not in said.stdout
