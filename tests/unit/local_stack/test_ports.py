"""Free ports for the local stack."""

import socket

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
