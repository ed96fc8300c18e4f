"""Free ports for the local stack."""

import socket
import subprocess
import sys

import pytest

from runtime.errors import ConfigurationError
from sternpost.local import ports


def test_a_port_in_use_is_an_error_that_names_it_and_the_option() -> None:
    with socket.create_server((ports.HOST, 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(
            ConfigurationError, match=rf"port {port} on 127\.0\.0\.1, wanted for the sea, is in use.*--port"
        ):
            ports.choose(port, "the sea", "--port")
        assert ports.answers(port)
    assert not ports.answers(port)
    assert ports.choose(port, "the sea", "--port") == port


def test_free_ports_are_free_and_outside_the_range_of_outgoing_connections() -> None:
    for _ in range(20):
        port = ports.choose(0, "the sea", "--port")
        assert 15_000 <= port < 32_000
        with socket.create_server((ports.HOST, port)):
            pass


def test_a_free_port_is_given_once_and_servers_may_come_and_go_on_it(monkeypatch: pytest.MonkeyPatch) -> None:
    port = ports.choose(0, "the sea", "--port")
    monkeypatch.setattr(ports, "_RANGE", [port] * 200)
    with pytest.raises(ConfigurationError, match="there is no free port"):
        ports.choose(0, "another sea", "--port")
    elsewhere = (
        f"from sternpost.local import ports; ports._RANGE = [{port}] * 200; ports.choose(0, 'a third sea', '--port')"
    )
    other = subprocess.run([sys.executable, "-c", elsewhere], check=False, capture_output=True, text=True)
    assert "there is no free port" in other.stderr
    assert not ports.answers(port)
    for address in (ports.HOST, "0.0.0.0"):
        with socket.create_server((address, port)):
            assert ports.answers(port)
    with socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True):
        assert ports.answers(port)
