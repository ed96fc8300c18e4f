"""A real HTTP server with scripted responses: a registry, or a proxy before one."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote

from tests.support.serving import serving


@dataclass(frozen=True)
class Answer:
    status: int
    body: bytes | str | dict[str, object] | list[object] = b""
    """A scripted response: JSON for a dict or list, an HTML page for text."""
    headers: Mapping[str, str] = field(default_factory=dict)

    def encoded(self) -> tuple[bytes, str]:
        """Return the body and its content type."""
        if isinstance(self.body, dict | list):
            return json.dumps(self.body).encode(), "application/vnd.schemaregistry.v1+json"
        return (self.body.encode(), "text/html") if isinstance(self.body, str) else (self.body, "application/json")


@dataclass
class ScriptedServer:
    url: str
    requests: list[str] = field(default_factory=list)
    """Method and path of each request, such as `GET /subjects`, without the query."""
    queries: list[str] = field(default_factory=list)
    """The query of each request, decoded; empty if it has none."""


Script = Callable[[str], Answer]
"""The response to `POST /subjects/a-value`."""


@contextmanager
def answering(script: Script | Answer) -> Iterator[ScriptedServer]:
    """Run the server as long as the block lasts."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # a response is one packet, and its second half need not wait for the client's acknowledgement

        def _any(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            asked = f"{self.command} {self.path.partition('?')[0]}"
            server.requests.append(asked)
            server.queries.append(unquote(self.path.partition("?")[2]))
            answer = script if isinstance(script, Answer) else script(asked)
            body, kind = answer.encoded()
            self.send_response(answer.status)
            for name, value in {"Content-Type": kind, "Content-Length": str(len(body)), **answer.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_PUT = _any  # noqa: N815

        def log_message(self, format: str, *args: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

    http = Server(("127.0.0.1", 0), Handler)
    server = ScriptedServer(f"http://127.0.0.1:{http.server_address[1]}")
    with serving(http):
        yield server
