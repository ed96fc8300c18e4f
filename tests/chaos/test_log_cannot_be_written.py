"""Services whose standard error takes nothing go on, count the lines that they drop, and log again when they can."""

import contextlib
import fcntl
import json
import os
import pty
import select
import signal
import termios
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import pytest

from tests.support.service import SERVICES, Service, Starter
from tests.support.waiting import PATIENCE_S, until


@pytest.mark.parametrize("name", SERVICES)
def test_a_full_disk(start: Starter, name: str) -> None:
    with open("/dev/full", "wb") as full:
        service = start(name, stdout=full, stderr=full)
    service.works()
    until(lambda: service.dropped() >= 1)
    assert service.end() == 0


@pytest.mark.parametrize("name", SERVICES)
def test_standard_streams_that_are_closed(start: Starter, name: str, tmp_path: Path) -> None:
    service = start(name, "sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh")
    service.works()
    until(lambda: service.dropped() >= 1)
    # No socket and no file has taken the number of standard error, else it would have what is logged in it.
    for pid in _processes(service):
        assert {os.readlink(f"/proc/{pid}/fd/{number}") for number in (1, 2)} == {os.devnull}
    assert service.end() == 0


@pytest.mark.parametrize("name", SERVICES)
def test_a_pipe_whose_reader_ended(start: Starter, name: str) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    service = start(name, stderr=writer)
    os.close(writer)
    service.works()
    until(lambda: service.dropped() >= 1)
    assert service.end() == 0


@pytest.mark.parametrize("blocking", [True, False])
@pytest.mark.parametrize("name", SERVICES)
def test_a_pipe_that_nobody_reads(start: Starter, name: str, blocking: bool) -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(writer, bytes(4096))
    os.set_blocking(writer, blocking)
    service = start(name, stderr=writer)
    os.close(writer)
    service.works()
    if not blocking:
        until(lambda: service.dropped() >= 1)
    assert service.end() == 0
    os.close(reader)


@pytest.mark.parametrize("name", SERVICES)
def test_a_terminal_that_is_closed(start: Starter, name: str) -> None:
    main, side = pty.openpty()

    def take_terminal() -> None:
        os.setsid()
        fcntl.ioctl(side, termios.TIOCSCTTY, 0)

    service = start(name, stdin=side, stdout=side, stderr=side, preexec_fn=take_terminal)
    os.close(side)
    shown, closing = threading.Event(), threading.Event()
    reading = threading.Thread(target=_read, args=(main, shown, closing))
    reading.start()
    service.works()
    assert shown.wait(PATIENCE_S)
    closing.set()
    reading.join()  # which closes it, and the kernel sends SIGHUP to the session
    service.works()
    if name == "ingest":  # which reloads, and says so
        until(lambda: service.dropped() >= 1)
    assert service.end() == 0


def test_logging_goes_on_when_there_is_a_reader_again(start: Starter, tmp_path: Path) -> None:
    fifo = tmp_path / "log"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    with fifo.open("wb") as writer:
        service = start("ingest", stderr=writer)
    service.works()
    os.close(reader)
    service.process.send_signal(signal.SIGHUP)
    until(lambda: service.dropped() >= 2)  # by each worker
    service.works()
    with open(os.open(fifo, os.O_RDONLY | os.O_NONBLOCK), "rb") as again:
        service.process.send_signal(signal.SIGHUP)
        events: dict[str, dict[str, Any]] = {}

        def told() -> bool:
            for line in _lines(again):
                events[line["event"]] = line
            return {"sources reloaded", "log lines were dropped"} <= events.keys()

        until(told)
        assert events["log lines were dropped"]["lines"] >= 1
        assert service.end() == 0


def _lines(pipe: IO[bytes]) -> Iterator[dict[str, Any]]:
    with contextlib.suppress(BlockingIOError):
        for line in (pipe.read() or b"").splitlines():
            with contextlib.suppress(json.JSONDecodeError):  # the rest of it comes with the next look
                yield json.loads(line)


def _processes(service: Service) -> list[int]:
    import psutil

    parent = psutil.Process(service.process.pid)
    return [parent.pid, *(child.pid for child in parent.children() if "spawn_main" in " ".join(child.cmdline()))]


def _read(main: int, shown: threading.Event, closing: threading.Event) -> None:
    """Be the terminal until `closing`."""
    seen = b""
    while not closing.is_set():
        if select.select([main], [], [], 0.05)[0]:
            seen += os.read(main, 65536)
            if b"started" in seen:
                shown.set()
    os.close(main)
