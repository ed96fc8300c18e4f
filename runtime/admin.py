"""The admin listener of a service: `/healthz`, `/readyz` and `/metrics`, on a port of their own."""

from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socket import AF_INET, AF_INET6
from threading import Thread

from runtime import logs, metrics
from runtime.errors import ConfigurationError

Check = Callable[[], tuple[bool, str]]
"""Whether it is well, and if not, why."""

_TEXT = "text/plain; charset=utf-8"
_METRICS = "text/plain; version=0.0.4; charset=utf-8"


class Admin:
    """A running listener."""

    def __init__(self, server: ThreadingHTTPServer) -> None:
        self._server = server
        self._thread = Thread(target=server.serve_forever, name="admin", daemon=True)
        self._thread.start()
        self.port: int = server.server_address[1]

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def serve(host: str, port: int, ready: Check, alive: Check) -> Admin:
    """Answer on `host`:`port` (0 takes a free one) until closed.

    `/healthz` says 503 only where a restart would help; `/readyz` says 503 while no work can be done, Kafka being away
    for one. Raises ConfigurationError where the address cannot be listened on.
    """

    class Handler(BaseHTTPRequestHandler):
        timeout = 10.0
        protocol_version = "HTTP/1.1"
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

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        address_family = AF_INET6 if ":" in host else AF_INET

        def handle_error(self, request: object, client_address: object) -> None:
            """A probe that hangs up before its answer is none of our faults; the base class prints a traceback."""

    try:
        return Admin(Server((host, port), Handler))
    except OSError as error:
        raise ConfigurationError(
            f"cannot listen on {host}:{port} for the admin listener ({error.strerror}); "
            "set admin_host and admin_port of the service to a free address"
        ) from None
