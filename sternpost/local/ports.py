"""Ports for the local stack: find free ones, or check that the given ones are free."""

import contextlib
import random
import socket

from runtime.errors import ConfigurationError

HOST = "127.0.0.1"

# Below the range for outgoing connections (32768 and up on Linux), so that no other program's connection takes a port
# between this check and the start of the server.
_RANGE = range(15_000, 32_000)
_random = random.SystemRandom()  # two processes that start together must not choose alike


def choose(wanted: int, what: str, option: str) -> int:
    """Return `wanted`, or a free port if that is 0. Raises ConfigurationError if `wanted` is in use."""
    if wanted:
        with contextlib.suppress(OSError):
            _try(wanted)
            return wanted
        raise ConfigurationError(
            f"port {wanted} on {HOST}, wanted for {what}, is in use: stop the program that listens there, "
            f"or choose another port with {option} (0 takes a free one)"
        )
    for port in _random.sample(_RANGE, 200):
        with contextlib.suppress(OSError):
            _try(port)
            return port
    raise ConfigurationError(f"there is no free port on {HOST} for {what}: choose one with {option}")


def answers(port: int, host: str = HOST) -> bool:
    """Return whether something listens on the port."""
    try:
        with socket.create_connection((host, port), timeout=1):
            return True
    except OSError:
        return False


def _try(port: int) -> None:
    with socket.socket() as candidate:
        candidate.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        candidate.bind((HOST, port))
        candidate.listen(1)
