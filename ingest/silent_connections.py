"""Closes connections from which nothing has come for too long, in whatever state the server has them.

Granian itself closes one that sends no request in time. But it waits without end for the first bytes after a TLS
handshake, and for a client to take its answers: enough of those would hold all of `ingest.max_connections` for good.

When a connection last received something, the kernel knows (TCP_INFO, https://man7.org/linux/man-pages/man7/tcp.7.html).
A client that does not take its answers cannot send either, once the buffers between are full.
"""

import os
import socket
import stat
import struct

AT_ONCE = 50
"""Descriptors looked at in one call, so that it takes less than a millisecond."""

LOOK_S = 1.0
"""The least time between two looks at one descriptor."""

_DESCRIPTORS = "/proc/self/fd"
_ESTABLISHED, _CLOSE_WAIT = 1, 8
_INFO_BYTES, _LAST_DATA_RECEIVED = 56, 52
"""struct tcp_info of linux/tcp.h: its first byte is the state, and at 52 is tcpi_last_data_recv, in milliseconds."""


class SilentConnections:
    """The connections that this process has accepted from a listening socket. Call `close_some` regularly."""

    def __init__(self, listener: socket.socket, timeout_s: float) -> None:
        """Close those from which nothing has come for `timeout_s`."""
        self._family = listener.family
        self._port = listener.getsockname()[1]
        self._timeout_ms = timeout_s * 1000
        self._left: list[int] = []
        self._next_look = 0.0

    def close_some(self, now: float) -> None:
        """Look at the next `AT_ONCE` descriptors of this process. `now` is any clock's time in seconds."""
        if not self._left:
            if now < self._next_look:
                return
            self._left, self._next_look = _descriptors(), now + LOOK_S
        for descriptor in self._left[-AT_ONCE:]:
            self._look_at(descriptor)
        del self._left[-AT_ONCE:]

    def _look_at(self, descriptor: int) -> None:
        try:
            # A duplicate: meanwhile, the server may close this one and open another with its number.
            duplicate = os.dup(descriptor)
        except OSError:  # closed already, or no descriptor is left
            return
        try:
            if stat.S_ISSOCK(os.fstat(duplicate).st_mode):
                self._close_if_silent(duplicate)
        finally:
            os.close(duplicate)

    def _close_if_silent(self, descriptor: int) -> None:
        connection = socket.socket(self._family, socket.SOCK_STREAM, fileno=descriptor)
        try:
            address = connection.getsockname()
            if isinstance(address, tuple) and address[1] == self._port and self._is_silent(connection):
                connection.shutdown(socket.SHUT_RDWR)
        except OSError:  # a socket of another kind, or no longer connected
            pass
        finally:
            connection.detach()

    def _is_silent(self, connection: socket.socket) -> bool:
        info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _INFO_BYTES)
        if len(info) < _INFO_BYTES or info[0] not in (_ESTABLISHED, _CLOSE_WAIT):
            return False
        (silent_ms,) = struct.unpack_from("I", info, _LAST_DATA_RECEIVED)
        return bool(silent_ms > self._timeout_ms)


def _descriptors() -> list[int]:
    try:
        return [int(name) for name in os.listdir(_DESCRIPTORS)]
    except OSError:  # not Linux, or no descriptor is left
        return []
