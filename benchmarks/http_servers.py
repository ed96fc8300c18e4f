"""What an HTTP server in Python costs a request, without Kafka.

`python -m benchmarks.http_servers` runs the same application on granian, aiohttp and uvicorn, and on a bare parser
(httptools) that is no server at all: no limits, no time-outs, no errors. The application reads a signed webhook's
headers and body, and answers a millisecond later, many requests at a time, as acknowledgements come.
docs/performance.md has the figures.
"""

import asyncio
import socket
import statistics
import subprocess
import sys
import time
from typing import Any

import httptools
import psutil
import uvicorn
import uvloop
from aiohttp import web
from granian.constants import HTTPModes, Interfaces
from granian.rsgi import Scope
from granian.server.embed import Server as Granian

from benchmarks import load
from benchmarks.ingest import PATH, signed
from sternpost.local import ports

NAMES = ("granian", "aiohttp", "uvicorn", "httptools")
CONNECTIONS = (16, 64, 256)
RUNS = 3
SECONDS = 2
ANSWER_AFTER_S = 0.001
READ = ("authorization", "x-cio-timestamp", "x-cio-signature")
TEXT = ("content-type", "text/plain")


class Acknowledgements:
    """Futures that are done a millisecond after the first of them was asked for, all at once."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._waiting: list[asyncio.Future[None]] = []

    def next(self) -> "asyncio.Future[None]":
        """Return the next one."""
        if not self._waiting:
            self._loop.call_later(ANSWER_AFTER_S, self._come)
        self._waiting.append(self._loop.create_future())
        return self._waiting[-1]

    def _come(self) -> None:
        waiting, self._waiting = self._waiting, []
        for one in waiting:
            one.set_result(None)


async def serve(name: str, port: int) -> None:
    """Serve until the process is ended."""
    acknowledgements, loop = Acknowledgements(), asyncio.get_running_loop()
    if name == "granian":

        class Application:
            async def __rsgi__(self, scope: Scope, protocol: Any) -> None:
                headers = scope.headers
                for header in READ:
                    headers.get(header)
                await protocol()
                await acknowledgements.next()
                protocol.response_bytes(200, [TEXT], b"OK")

        granian = Granian(
            Application(),
            port=port,
            interface=Interfaces.RSGI,
            http=HTTPModes.http1,
            websockets=False,
            log_enabled=False,
        )
        await granian.serve()
    elif name == "aiohttp":

        async def handle(request: web.BaseRequest) -> web.Response:
            for header in READ:
                request.headers.get(header)
            await request.read()
            await acknowledgements.next()
            return web.Response(body=b"OK", headers=[TEXT])

        await loop.create_server(web.Server(handle, access_log=None), "127.0.0.1", port)
    elif name == "uvicorn":

        async def application(scope: Any, receive: Any, send: Any) -> None:
            headers = dict(scope["headers"])
            for header in READ:
                headers.get(header.encode())
            await receive()
            await acknowledgements.next()
            text = [(b"content-type", b"text/plain"), (b"content-length", b"2")]
            await send({"type": "http.response.start", "status": 200, "headers": text})
            await send({"type": "http.response.body", "body": b"OK"})

        config = uvicorn.Config(
            application,
            port=port,
            loop="none",
            http="httptools",
            ws="none",
            lifespan="off",
            log_level="error",
            access_log=False,
        )
        await uvicorn.Server(config).serve()
    else:

        class Connection(asyncio.Protocol):
            def connection_made(self, transport: Any) -> None:
                self._transport, self._parser = transport, httptools.HttpRequestParser(self)

            def data_received(self, data: bytes) -> None:
                self._parser.feed_data(data)

            def on_message_begin(self) -> None:
                self._headers: dict[bytes, bytes] = {}

            def on_header(self, name: bytes, value: bytes) -> None:
                self._headers[name.lower()] = value

            def on_message_complete(self) -> None:
                for header in READ:
                    self._headers.get(header.encode())
                acknowledgements.next().add_done_callback(self._answer)

            def _answer(self, _: "asyncio.Future[None]") -> None:
                if not self._transport.is_closing():
                    self._transport.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 2\r\n\r\nOK")

        await loop.create_server(Connection, "127.0.0.1", port)
    await asyncio.Event().wait()


def await_listener(port: int) -> None:
    """Return once something listens on the port. Raises OSError if nothing does within a minute."""
    deadline = time.monotonic() + 60
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except ConnectionRefusedError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
        else:
            return


def measure() -> None:
    """Print the median CPU of each server at each number of connections, the servers in turn."""
    headers, body = signed(0)
    processes: dict[str, tuple[int, subprocess.Popen[bytes]]] = {}
    took: dict[tuple[str, int], list[float]] = {}
    try:
        for name in NAMES:
            port = ports.choose(0, name, "")
            processes[name] = port, subprocess.Popen([sys.executable, "-m", "benchmarks.http_servers", name, str(port)])
        for port, _ in processes.values():
            await_listener(port)
        for run in range(RUNS + 1):
            for connections in CONNECTIONS:
                for name, (port, process) in processes.items():
                    server = psutil.Process(process.pid)
                    before = sum(server.cpu_times()[:2])
                    came = load.run(port, PATH, headers, body, connections, SECONDS)
                    if came.failed or not came.requests:
                        raise SystemExit(f"{name} failed {came.failed} of {came.requests} requests")
                    if run:  # the first warms up
                        cpu_us = 1e6 * (sum(server.cpu_times()[:2]) - before) / came.requests
                        took.setdefault((name, connections), []).append(cpu_us)
    finally:
        for _, process in processes.values():
            process.kill()
            process.wait()
    for name in NAMES:
        medians = (f"{statistics.median(took[name, connections]):.1f}" for connections in CONNECTIONS)
        print(f"{name}: {', '.join(medians)} µs a request at {', '.join(map(str, CONNECTIONS))} connections")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        uvloop.run(serve(sys.argv[1], int(sys.argv[2])))
    else:
        measure()
