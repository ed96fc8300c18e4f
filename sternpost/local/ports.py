"""Ports for the local stack: free ones, or a check that the given ones are."""

import contextlib
import random
import socket

from runtime.errors import ConfigurationError

HOST = "127.0.0.1"

# Below the range that systems hand out for outgoing connections (32768 and up on Linux), so that no connection of
# another program takes a port between our look and the server's start.
_RANGE = range(15_000, 32_000)


def choose(wanted: int, what: str, option: str) -> int:
    """`wanted`, or a free port where that is 0. Raises ConfigurationError where `wanted` is taken."""
    if wanted:
        with contextlib.suppress(OSError):
            _try(wanted)
            return wanted
        raise ConfigurationError(
            f"port {wanted} on {HOST}, wanted for {what}, is in use: end what listens there, "
            f"or give another with {option} (0 takes a free one)"
        )
    for port in random.sample(_RANGE, 200):
        with contextlib.suppress(OSError):
            _try(port)
            return port
    raise ConfigurationError(f"no free port was found on {HOST} for {what}: give one with {option}")


def answers(port: int) -> bool:
    """Whether something listens there."""
    try:
        with socket.create_connection((HOST, port), timeout=1):
            return True
    except OSError:
        return False


def _try(port: int) -> None:
    with socket.socket() as candidate:
        candidate.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        candidate.bind((HOST, port))
        candidate.listen(1)
