"""The admin listener."""

import socket
import struct
from collections.abc import Iterator
from http.client import HTTPConnection

import pytest

from runtime import admin_listener
from runtime.errors import ConfigurationError
from tests.support.waiting import PATIENCE_S


class State:
    ready = (True, "")
    alive = (True, "")


@pytest.fixture
def state() -> State:
    return State()


@pytest.fixture
def listener(state: State) -> Iterator[admin_listener.AdminListener]:
    running = admin_listener.serve("127.0.0.1", 0, ready=lambda: state.ready, alive=lambda: state.alive)
    yield running
    running.close()


def get(listener: admin_listener.AdminListener, path: str, method: str = "GET") -> tuple[int, str]:
    connection = HTTPConnection("127.0.0.1", listener.port, timeout=PATIENCE_S)
    try:
        connection.request(method, path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def test_health_and_readiness_are_told_apart(listener: admin_listener.AdminListener, state: State) -> None:
    assert get(listener, "/readyz") == (200, "ok\n")
    assert get(listener, "/healthz") == (200, "ok\n")
    state.ready = (False, "no Kafka broker answers")
    assert get(listener, "/readyz") == (503, "no Kafka broker answers\n")
    assert get(listener, "/healthz") == (200, "ok\n")
    state.ready, state.alive = (True, ""), (False, "no heartbeat from worker 0")
    assert get(listener, "/readyz?verbose")[0] == 200
    assert get(listener, "/healthz") == (503, "no heartbeat from worker 0\n")


def test_metrics_and_nothing_else(listener: admin_listener.AdminListener) -> None:
    assert get(listener, "/metrics")[0] == 200
    assert get(listener, "/metrics", "HEAD") == (200, "")
    assert get(listener, "/v1/webhook")[0] == 404


def test_a_probe_that_hangs_up_prints_nothing(
    listener: admin_listener.AdminListener, capfd: pytest.CaptureFixture[str]
) -> None:
    for _ in range(3):
        with socket.create_connection(("127.0.0.1", listener.port), timeout=PATIENCE_S) as hasty:
            hasty.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # to close it is to reset it
            hasty.sendall(b"GET /metrics HTTP/1.1\r\n")
    assert get(listener, "/readyz")[0] == 200
    listener.close()
    listener._server.server_close()
    assert capfd.readouterr() == ("", "")


def test_an_address_in_use_is_explained() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(ConfigurationError, match="admin_port"):
        admin_listener.serve("127.0.0.1", taken.getsockname()[1], ready=lambda: (True, ""), alive=lambda: (True, ""))
