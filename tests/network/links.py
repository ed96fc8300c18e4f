"""Do the ways to hurt a link hurt it as they should? `python -m tests.network.links` talks through each to an echo.

It needs namespaces of its own: see hosts.py.
"""

import socket
import sys
import tempfile
import time
from pathlib import Path

from sternpost.local.process import Process
from tests.network.faults import cut, deaf, forget_connections, unheard
from tests.network.hosts import Network, Peer
from tests.support.waiting import PATIENCE_S, until

PORT = 7
SILENCE_S = 2.0
"""So long nothing comes over a link that is cut."""

SERVER = f"""
import socket, threading
def serve(connection):
    while data := connection.recv(65536):
        connection.sendall(data)
with socket.create_server(("", {PORT})) as server:
    while True:
        threading.Thread(target=serve, args=(server.accept()[0],), daemon=True).start()
"""


def connect(peer: Peer) -> socket.socket:
    """Connect by the peer's name, as soon as it answers."""

    def tried() -> socket.socket | None:
        try:
            return socket.create_connection((peer.name, PORT), PATIENCE_S)
        except OSError:
            return None

    connection = until(tried)
    assert isinstance(connection, socket.socket)
    return connection


def seconds(connection: socket.socket, size: int) -> float:
    """Return how long so many bytes take there and back. Raises OSError if they do not come."""
    begun = time.monotonic()
    connection.sendall(b"x" * size)
    missing = size
    while missing:
        received = connection.recv(65_536)
        if not received:
            raise ConnectionError("closed")
        missing -= len(received)
    return time.monotonic() - begun


def answers(connection: socket.socket, size: int = 100) -> bool:
    """Return whether what was sent comes back. Raises OSError if it does not."""
    connection.settimeout(PATIENCE_S)
    return seconds(connection, size) >= 0


def silent(connection: socket.socket, size: int = 100) -> bool:
    """Return whether nothing comes back, nor a word that nothing will."""
    connection.settimeout(SILENCE_S)
    try:
        seconds(connection, size)
    except TimeoutError:
        return True
    return False


def main(folder: Path) -> None:
    """Raise AssertionError if a link is not as it was made."""
    network = Network(folder)
    peer, client = network.host("echo"), network.client
    server = Process("echo", [*peer.enter, sys.executable, "-c", SERVER], folder / "echo.log")
    server.start()
    connection = connect(peer)
    assert answers(connection)
    for way in (cut, unheard, deaf):
        with way([peer], [client]):
            assert silent(connection), way.__name__
        connection = connect(peer)
        assert answers(connection)
    with cut([peer], [client], "-m", "length", "--length", "600:65535"):
        assert answers(connection), "small packets"
        assert silent(connection, 5_000), "large packets"
    connection = connect(peer)
    with peer.slow(100):
        assert seconds(connection, 100) >= 0.2
    with peer.thin(64):
        assert seconds(connection, 10_000) >= 0.5
    with unheard([client], [peer], "-p", "tcp", then=["REJECT", "--reject-with", "tcp-reset"]):
        try:
            seconds(connection, 100)
            raise AssertionError("not reset")
        except ConnectionResetError:
            pass
    connection = connect(peer)
    forget_connections(peer)
    assert silent(connection), "a forgotten connection"
    connection = connect(peer)
    assert answers(connection), "a new connection"
    network.move(peer)
    assert silent(connection), "at the old address"
    assert answers(connect(peer)), "at the new address"
    server.kill()
    network.stop()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        main(Path(folder))
