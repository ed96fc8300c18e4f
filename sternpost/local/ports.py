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
_kept: list[int] = []
"""Descriptors of sockets that keep the chosen ports, open until this process ends."""


def choose(wanted: int, what: str, option: str) -> int:
    """Return `wanted`, or a free port if that is 0, which no other `choose` gives away while this process runs.

    Raises ConfigurationError if `wanted` is in use.
    """
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
            _keep(port)
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


def _keep(port: int) -> None:
    """Bind a socket to the port, if nothing else is, and leave it open. Raises OSError.

    It does not listen and has SO_REUSEADDR set, so servers that set it too, as almost all do, can listen on the port
    (https://man7.org/linux/man-pages/man7/socket.7.html).
    """
    with socket.socket() as candidate:
        candidate.bind((HOST, port))  # fails if another process keeps the port, since SO_REUSEADDR is not set yet
        candidate.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        _kept.append(candidate.detach())
