"""A log that cannot be written neither raises nor blocks."""

import contextlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from runtime.log_stream import MOST_BYTES, LogStream
from tests.support import disks
from tests.support.disks import small_disk
from tests.support.waiting import PATIENCE_S, until

LINE = "x" * 99


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    yield reader, writer
    for descriptor in (reader, writer):
        with contextlib.suppress(OSError):
            os.close(descriptor)


def fill(writer: int) -> None:
    """Leaves no room in a pipe, and a descriptor that does not block."""
    os.set_blocking(writer, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(writer, b"\n")


def read_all(reader: int) -> bytes:
    found = b""
    with contextlib.suppress(BlockingIOError):
        while chunk := os.read(reader, 65536):
            found += chunk
    return found


def test_lines_go_out_whole_and_in_order(pipe: tuple[int, int]) -> None:
    stream = LogStream(pipe[1])
    assert stream.write("a") == 1
    stream.write("b\nsecond\nthi")
    stream.drain(PATIENCE_S)
    assert read_all(pipe[0]) == b"ab\nsecond\n"
    print("rd", file=stream, flush=True)
    stream.drain(PATIENCE_S)
    assert read_all(pipe[0]) == b"third\n"
    assert stream.dropped == 0


def test_threads_do_not_mix_their_lines(pipe: tuple[int, int]) -> None:
    stream = LogStream(pipe[1])

    def log(letter: str) -> None:
        for _ in range(50):
            stream.write(letter * 20 + "\n")

    threads = [threading.Thread(target=log, args=(letter,)) for letter in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    stream.drain(PATIENCE_S)
    lines = read_all(pipe[0]).decode().splitlines()
    assert sorted(lines) == sorted([letter * 20 for letter in "abcd"] * 50)


def test_what_is_no_text_is_escaped(pipe: tuple[int, int]) -> None:
    stream = LogStream(pipe[1])
    stream.write("\udcff\n")
    stream.drain(PATIENCE_S)
    assert read_all(pipe[0]) == b"\\udcff\n"


@pytest.mark.parametrize("descriptor", ["full", "closed", "read only", "no reader"])
def test_a_line_that_cannot_be_written_is_dropped_and_counted(pipe: tuple[int, int], descriptor: str) -> None:
    reader, writer = pipe
    if descriptor == "full":
        os.dup2(os.open("/dev/full", os.O_WRONLY), writer)
    elif descriptor == "closed":
        writer = 1_000_000
    elif descriptor == "read only":
        writer = reader
    else:
        os.close(reader)
    stream = LogStream(writer)
    stream.write("one\ntwo\n")
    stream.drain(PATIENCE_S)
    assert stream.dropped == 2


def test_a_file_on_a_full_disk_has_what_is_logged_once_there_is_room(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "64k") as disk, (disk / "log").open("wb", buffering=0) as file:
        filler = disks.fill(disk)
        told: list[int] = []
        stream = LogStream(file.fileno(), told.append)
        stream.write("one\ntwo\n")
        stream.drain(PATIENCE_S)
        assert (stream.dropped, told) == (2, [])
        filler.unlink()
        stream.write("three\n")
        until(lambda: told)
        stream.drain(PATIENCE_S)
        assert told == [2]
        assert (disk / "log").read_bytes() == b"three\n"


def test_whoever_logs_does_not_wait_for_a_reader_and_memory_is_bounded(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    fill(writer)
    os.set_blocking(writer, True)
    stream = LogStream(writer)
    count = 3 * MOST_BYTES // 100
    for _ in range(count):
        stream.write(LINE + "\n")
    assert stream.dropped == count - MOST_BYTES // 100
    os.set_blocking(reader, True)
    written = b""
    while written.count(LINE.encode()) < count - stream.dropped:
        written += os.read(reader, 65536)


def test_resuming_is_told_once_with_the_number_of_lines(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    full = os.open("/dev/full", os.O_WRONLY)
    kept = os.dup(writer)
    os.dup2(full, writer)
    told: list[int] = []
    stream = LogStream(writer, told.append)
    stream.write("one\ntwo\n")
    stream.drain(PATIENCE_S)
    assert told == []
    os.dup2(kept, writer)
    stream.write("three\n")
    until(lambda: told)
    stream.write("four\n")
    stream.drain(PATIENCE_S)
    os.close(full)
    os.close(kept)
    assert told == [2]
    assert read_all(reader) == b"three\nfour\n"


def test_after_half_a_line_the_next_one_begins_anew(pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runtime.log_stream.PATIENCE_S", 0.01)
    reader, writer = pipe
    os.set_blocking(writer, False)
    stream = LogStream(writer)
    stream.write("x" * 500_000 + "\n")  # more than a pipe holds
    until(lambda: stream.dropped == 1)
    torn = read_all(reader)
    assert torn.strip(b"x") == b""
    stream.write("next\n")
    stream.drain(PATIENCE_S)
    assert read_all(reader) == b"\nnext\n"
