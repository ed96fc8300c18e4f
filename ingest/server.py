"""The HTTP server: granian's, on a listening socket that all workers share.

It speaks HTTP/1.1 and HTTP/2, does TLS, bounds headers and connections, and closes a connection that sends no request
for `ingest.header_timeout_ms`. On the shared socket no worker has a queue of its own: what one worker, stopped or
crashed, has not accepted the others do.
"""

import asyncio
import contextlib
import ctypes
import socket
import struct
from typing import TYPE_CHECKING, Any

from granian._granian import SocketHolder
from granian.constants import HTTPModes, Interfaces, SSLProtocols
from granian.http import HTTP1Settings, HTTP2Settings
from granian.log import LogLevels
from granian.server.embed import Server as Granian

from runtime.errors import ConfigurationError
from runtime.settings.model import IngestSettings

if TYPE_CHECKING:
    from ingest.tracing import TracingMiddleware
    from ingest.webhook import Webhook

BACKLOG = 4096
"""Connections that the kernel holds until one is accepted; it takes no more than net.core.somaxconn."""

HEADER_BYTES = 65_536
"""About the most bytes of a request's line and headers, give or take one read; beyond, the answer is 431."""

_POLL_S = 0.005
_SETTLE_S = 0.5
"""Time for the handshakes that had begun to end and their requests to arrive: two round trips around the world."""

_SO_ATTACH_FILTER = 26
_TCP_INFO_QUEUED = struct.Struct("24xI")
"""`tcpi_unacked` of struct tcp_info: of a listening socket, the connections not accepted yet."""


def listen(host: str, port: int) -> socket.socket:
    """A listening socket, to be made before the workers and handed to them.

    Raises ConfigurationError where the address is not to be had.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError as error:
        raise ConfigurationError(
            f"cannot listen on {host}:{port} for webhooks ({error.strerror}); "
            "set ingest.host and ingest.port to a free address"
        ) from None
    return listener


class Server(Granian):
    """Granian in this process's event loop."""

    def __init__(
        self,
        webhook: "Webhook | TracingMiddleware",
        listener: socket.socket,
        settings: IngestSettings,
        connections: int,
    ) -> None:
        """`connections`: as many are open at most; the rest wait."""
        host, port = listener.getsockname()[:2]
        self._listener = listener
        super().__init__(
            webhook,
            address=host,
            port=port,
            interface=Interfaces.RSGI,
            http=HTTPModes.auto if settings.tls_certificate else HTTPModes.http1,
            websockets=False,
            backlog=BACKLOG,
            backpressure=connections,
            http1_settings=HTTP1Settings(header_read_timeout=settings.header_timeout_ms, max_buffer_size=HEADER_BYTES),
            http2_settings=HTTP2Settings(
                max_headers_size=HEADER_BYTES, keep_alive_interval=settings.header_timeout_ms, keep_alive_timeout=10
            ),
            log_level=LogLevels.error,
            log_dictconfig={"loggers": {"_granian": {"handlers": [], "level": "ERROR", "propagate": True}}},
            ssl_cert=settings.tls_certificate,
            ssl_key=settings.tls_key,
            ssl_protocol_min=SSLProtocols.tls12,
        )

    def _init_shared_socket(self) -> None:
        """In place of granian's own, which makes a socket for each worker: one that stops would reset its queue."""
        holder: Any = SocketHolder
        self._shd = holder(self._listener.dup().detach(), False, BACKLOG)

    async def accept_the_last(self) -> None:
        """Let no new connection begin, and return once those that had begun are accepted and have sent their request.

        To stop without this closes connections that the kernel, or granian, has accepted and no one has read from.
        """
        _drop_syns(self._listener)
        await asyncio.sleep(_SETTLE_S)
        while self.queued():  # noqa: ASYNC110 (the kernel tells nobody)
            await asyncio.sleep(_POLL_S)

    def queued(self) -> int:
        """How many connections wait to be accepted, by any worker; 0 if the system does not tell."""
        if not hasattr(socket, "TCP_INFO"):
            return 0
        info = self._listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_QUEUED.size)
        queued: int = _TCP_INFO_QUEUED.unpack(info)[0]
        return queued


def _drop_syns(listener: socket.socket) -> None:
    """Have the kernel ignore new connections: whoever tries finds the port closed a second later.

    A listening socket cannot be told to stop and yet keep its queue; a packet filter can: it drops segments with SYN
    alone and lets the handshakes that had begun go on. Where there are no such filters, nothing changes.
    """
    program = struct.pack(
        "HBBI" * 4,
        *(0x30, 0, 0, 13),  # load the byte of TCP flags
        *(0x45, 0, 1, 0x02),  # SYN set?
        *(0x06, 0, 0, 0),  # drop
        *(0x06, 0, 0, 0xFFFFFFFF),  # keep all of it
    )
    code = ctypes.create_string_buffer(program, len(program))
    with contextlib.suppress(OSError):
        listener.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("HP", 4, ctypes.addressof(code)))
