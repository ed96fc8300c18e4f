"""The admin listener of a service: `/healthz`, `/readyz` and `/metrics`, on a port of their own."""

import errno
import resource
import time
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socket import AF_INET, AF_INET6, SHUT_RDWR, socket
from threading import BoundedSemaphore, Thread
from typing import Any

import structlog

from runtime import logs, metrics
from runtime.errors import ConfigurationError

log = structlog.get_logger()

MOST_CONNECTIONS = 64
ACCEPT_PAUSE_S = 0.2
LOG_INTERVAL_S = 60.0
_EXHAUSTED = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}

Check = Callable[[], tuple[bool, str]]
"""Returns whether the service is well and, if not, why."""

_TEXT = "text/plain; charset=utf-8"
_METRICS = "text/plain; version=0.0.4; charset=utf-8"


class AdminListener:
    """A running listener."""

    def __init__(self, server: ThreadingHTTPServer) -> None:
        self._server = server
        self._thread = Thread(target=server.serve_forever, name="admin", daemon=True)
        self._thread.start()
        self.port: int = server.server_address[1]

    def close(self) -> None:
        """Stop answering and free the port."""
        with suppress(OSError):  # not every system has this, and there the thread takes half a second to see its end
            self._server.socket.shutdown(SHUT_RDWR)
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    """A server with a bounded number of connections, so that the process keeps descriptors for starting workers."""

    daemon_threads = True

    def __init__(self, *arguments: Any) -> None:
        files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        self._free = BoundedSemaphore(max(1, min(MOST_CONNECTIONS, files // 4)))
        self._logged_at = float("-inf")
        super().__init__(*arguments)

    def get_request(self) -> tuple[socket, Any]:
        """Accept a connection. Raises OSError, which the caller ignores: the pause keeps it from a busy loop."""
        try:
            return super().get_request()
        except OSError as error:
            if error.errno in _EXHAUSTED:
                self._failed(errno.errorcode[error.errno])
                time.sleep(ACCEPT_PAUSE_S)
            raise

    def verify_request(self, request: Any, client_address: Any) -> bool:
        """Return whether to answer; otherwise the connection is closed."""
        if self._free.acquire(blocking=False):
            return True
        self._failed("too_many")
        return False

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer in a thread."""
        try:
            super().process_request(request, client_address)
        except RuntimeError:  # no thread can be started
            self._free.release()
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Answer, and let another connection in."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: object, client_address: object) -> None:
        """Ignore a probe that hangs up before its answer, for which the base class prints a traceback."""

    def _failed(self, error: str) -> None:
        metrics.ADMIN_ACCEPT_FAILURES.labels(error).inc()
        if (now := time.monotonic()) - self._logged_at >= LOG_INTERVAL_S:
            self._logged_at = now
            log.error("the admin listener cannot take connections", error=error)


def serve(host: str, port: int, ready: Check, alive: Check) -> AdminListener:
    """Answer on `host`:`port` (0 takes a free one) until closed.

    `/healthz` answers 503 only if a restart would help; `/readyz` answers 503 while no work can be done, for example
    because Kafka is unreachable. Raises ConfigurationError if it cannot listen on the address.
    """

    class Handler(BaseHTTPRequestHandler):
        timeout = 10.0
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # send a response as one packet: its second half would wait for the client's acknowledgement
        server_version, sys_version = "sternpost", ""

        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            if path == "/metrics":
                logs.count_dropped()
                self._answer(200, metrics.render(), _METRICS)
            elif path in ("/healthz", "/readyz"):
                good, reason = alive() if path == "/healthz" else ready()
                self._answer(200 if good else 503, f"{'ok' if good else reason}\n".encode(), _TEXT)
            else:
                self._answer(404, b"there are /healthz, /readyz and /metrics\n", _TEXT)

        do_HEAD = do_GET  # noqa: N815

        def _answer(self, status: int, body: bytes, content_type: str) -> None:
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Probes and scrapes are not worth a line each."""

    class Listener(_Server):
        address_family = AF_INET6 if ":" in host else AF_INET

    try:
        return AdminListener(Listener((host, port), Handler))
    except OSError as error:
        raise ConfigurationError(
            f"cannot listen on {host}:{port} for the admin listener ({error.strerror}); "
            "set admin_host and admin_port of the service to a free address"
        ) from None
