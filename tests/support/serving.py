"""Servers in a thread of their own."""

from collections.abc import Iterator
from contextlib import contextmanager
from socketserver import BaseServer
from threading import Thread

POLL_S = 0.01
"""How often a server looks whether it is to end: twice a second by default, which each test would wait for."""


@contextmanager
def serving(server: BaseServer) -> Iterator[None]:
    """Serve as long as the block lasts."""
    with server:
        thread = Thread(target=server.serve_forever, args=(POLL_S,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()
