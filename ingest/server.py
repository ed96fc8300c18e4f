"""The HTTP server: granian, on a listening socket that all workers share.

Granian speaks HTTP/1.1 and HTTP/2, does TLS, limits headers and connections, and closes a connection that sends no
request for `ingest.header_timeout_ms`. The workers share one accept queue: connections that a stopped or crashed worker
has not accepted go to the others.
"""

import socket
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
"""Length of the accept queue. The kernel caps it at net.core.somaxconn."""

HEADER_BYTES = 65_536
"""The most bytes of a request's line and headers, give or take one read; beyond it granian answers 431."""


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket. Make it before the workers and hand it to them.

    Raises ConfigurationError if the address is not available.
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
    """Granian in the event loop of this process."""

    def __init__(
        self,
        webhook: "Webhook | TracingMiddleware",
        listener: socket.socket,
        settings: IngestSettings,
        connections: int,
    ) -> None:
        """Serve `webhook` on `listener`. `connections` is the most that are open; others wait in the accept queue."""
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
        """Replace granian's method, which opens a socket per worker: a worker that stops would reset its own queue."""
        holder: Any = SocketHolder
        self._shd = holder(self._listener.dup().detach(), False, BACKLOG)
