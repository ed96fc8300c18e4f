"""Systemd's end of its notification socket: https://www.freedesktop.org/software/systemd/man/latest/sd_notify.html."""

import socket
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.waiting import PATIENCE_S


@dataclass(frozen=True)
class NotifySocket:
    address: str
    _incoming: socket.socket

    def heard(self) -> str:
        """Return the next notification."""
        return self._incoming.recv(4096).decode()


@contextmanager
def listening() -> Iterator[NotifySocket]:
    """A socket to say it to, in a folder whose path is short: those of tests are longer than a socket's may be."""
    with tempfile.TemporaryDirectory() as folder, closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as incoming:
        address = str(Path(folder, "notify"))
        incoming.bind(address)
        incoming.settimeout(PATIENCE_S)
        yield NotifySocket(address, incoming)
