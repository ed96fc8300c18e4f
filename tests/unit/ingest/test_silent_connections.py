"""Which connections are closed: those of the listening socket that have been silent for longer than they may."""

import contextlib
import gc
import itertools
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from ingest import silent_connections
from ingest.silent_connections import SilentConnections
from tests.support.waiting import until


@pytest.fixture(params=["127.0.0.1", "::1"])
def listener(request: pytest.FixtureRequest) -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in request.param else socket.AF_INET
    try:
        made = socket.create_server((request.param, 0), family=family)
    except OSError:
        pytest.skip("this machine has no IPv6")
    with made:
        yield made


clock = itertools.count(1)
"""Seconds: each look comes later than `LOOK_S` after the one before."""


def connect(listener: socket.socket) -> tuple[socket.socket, socket.socket]:
    """Return the client's and the server's end."""
    client = socket.create_connection(listener.getsockname()[:2])
    client.setblocking(False)
    return client, listener.accept()[0]


def is_closed(client: socket.socket) -> bool:
    try:
        return client.recv(1) == b""
    except BlockingIOError:
        return False


def test_a_silent_connection_is_closed_and_no_other(listener: socket.socket) -> None:
    client, server = connect(listener)
    with socket.create_server(("127.0.0.1", 0)) as another, client, server:
        stranger, theirs = connect(another)
        with stranger, theirs:
            patient, strict = SilentConnections(listener, 3_600), SilentConnections(listener, 0)
            patient.close_some(0)
            assert not is_closed(client)

            def closed() -> bool:
                strict.close_some(next(clock))
                return is_closed(client)

            until(closed)
            assert not is_closed(stranger)
    client, server = connect(listener)  # it still listens
    client.close()
    server.close()


def test_one_that_does_not_take_its_answers_is_silent(listener: socket.socket) -> None:
    client, server = connect(listener)
    with client, server:
        server.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                server.send(bytes(65_536))
        strict = SilentConnections(listener, 0)

        def closed() -> bool:
            strict.close_some(next(clock))
            try:
                server.send(b"x")
            except BlockingIOError:
                return False
            except BrokenPipeError:
                return True
            return False

        until(closed)


def test_it_does_not_look_all_the_time(listener: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[None] = []

    def look() -> list[int]:
        looks.append(None)
        return [0]

    monkeypatch.setattr(silent_connections, "_descriptors", look)
    silent = SilentConnections(listener, 0)
    for tenth in range(25):
        silent.close_some(tenth / 10)
    assert len(looks) == 3


def test_no_descriptor_is_left_out_or_open(listener: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(silent_connections, "AT_ONCE", 3)
    with contextlib.ExitStack() as stack:
        clients = []
        for _ in range(10):
            client, server = connect(listener)
            clients.append(stack.enter_context(client))
            stack.enter_context(server)
        for end in socket.socketpair():
            stack.enter_context(end)
        stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        stack.enter_context(Path(os.devnull).open())
        gc.collect()
        before = _descriptors()
        strict = SilentConnections(listener, 0)

        def all_closed() -> bool:
            strict.close_some(next(clock))
            return all(is_closed(client) for client in clients)

        until(all_closed)
        for _ in range(2 * len(before)):
            strict.close_some(next(clock))
        until(lambda: _descriptors() <= before)  # another thread's may come and go


def _descriptors() -> set[str]:
    return {name for name in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{name}")}
