"""Clients that mean harm: memory and descriptors stay bounded, good webhooks are served, and nothing half-read is kept.

What they do is bounded in number, and goes to 127.0.0.1 only.
"""

import contextlib
import http.client
import resource
import socket
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.support import http2
from tests.support.certificate import make
from tests.support.endpoint import (
    Endpoint,
    answer_on,
    endpoint,
    read_answer,
    records,
    request,
    signature,
)
from tests.support.http2 import frame
from tests.support.kafka import Kafka, TopicMaker
from tests.support.waiting import PATIENCE_S

OPEN = "/v1/webhook?writeKey=open-key"
GOOD = b"good"
GROWTH_BYTES = 256 << 20
"""More than any attack here may cost. What it would cost without a limit is far beyond."""


IP_BIND_ADDRESS_NO_PORT = 24
"""ip(7): choose a port when it is known where to connect to, so that a port serves for several destinations."""


class Attacked:
    """A service under attack, beside good traffic from a thread."""

    def __init__(self, service: Endpoint, bootstrap_servers: str, topic: str, certificate: Path | None) -> None:
        self.endpoint = service
        self._where = bootstrap_servers, topic
        self._certificate = certificate
        (self._worker,) = [
            child
            for child in psutil.Process(service.process.pid).children()
            if "spawn_main" in " ".join(child.cmdline())
        ]
        for _ in range(20):
            assert self.post() == 200
        # Connections that were closed count until the service has seen it.
        service.wait_until(lambda: self._open_connections() == 0)
        self._fds = self._worker.num_fds()

    def connections(self) -> int:
        return self._worker.num_fds() - self._fds

    def _open_connections(self) -> int:
        found = self._worker.net_connections("tcp")
        return sum(one.laddr[1] == self.endpoint.port and one.status != psutil.CONN_LISTEN for one in found)

    def context(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=self._certificate)

    def http2(self, settings: bytes = b"") -> http2.Connection:
        return http2.Connection(self.endpoint.connect(PATIENCE_S), self.context(), settings)

    def post(self) -> int:
        """Send a good webhook on a connection of its own; return the status."""
        host, port = "127.0.0.1", self.endpoint.port
        if self._certificate is None:
            connection = http.client.HTTPConnection(host, port, timeout=PATIENCE_S)
        else:
            connection = http.client.HTTPSConnection(host, port, timeout=PATIENCE_S, context=self.context())
        try:
            connection.request("POST", OPEN, GOOD)
            return read_answer(connection.getresponse()).status
        finally:
            connection.close()

    def _kept(self) -> int:
        kept = Counter(record.value for record in records(*self._where))
        assert set(kept) == {GOOD}
        return kept[GOOD]

    @contextlib.contextmanager
    def __call__(self) -> Iterator[None]:
        """Send good webhooks without pause while the block lasts; then look at what it did."""
        before = self._worker.memory_info().rss
        kept_before = self._kept()
        peak = [before]
        statuses: Counter[int] = Counter()
        stop = threading.Event()

        def send() -> None:
            while not stop.is_set():
                statuses[self.post()] += 1
                peak[0] = max(peak[0], self._worker.memory_info().rss)

        thread = threading.Thread(target=send)
        thread.start()
        try:
            yield
            served = statuses[200]
            self.endpoint.wait_until(lambda: statuses[200] >= served + 5 or not thread.is_alive())
        finally:
            stop.set()
            thread.join()
        statuses[self.post()] += 1
        assert set(statuses) == {200}
        assert peak[0] - before < GROWTH_BYTES, f"{(peak[0] - before) >> 20} MiB more"
        self.endpoint.wait_until(lambda: self._worker.num_fds() <= self._fds + 5)
        self.endpoint.wait_until(lambda: self.endpoint.admin("/readyz")[0] == 200)
        assert self._kept() - kept_before == statuses[200]
        internal = 'sternpost_ingest_requests_total{{outcome="internal_error",source="{}"}}'
        assert [self.endpoint.metric(internal.format(source)) for source in ("-", "unsigned", "signed")] == [0, 0, 0]


@pytest.fixture(scope="module")
def secure(kafka: Kafka, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Attacked]:
    yield from _attacked(kafka, tmp_path_factory.mktemp("secure"), tls=True)


@pytest.fixture(scope="module")
def plain(kafka: Kafka, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Attacked]:
    yield from _attacked(kafka, tmp_path_factory.mktemp("plain"), tls=False)


def _attacked(kafka: Kafka, folder: Path, *, tls: bool) -> Iterator[Attacked]:
    maker = TopicMaker(kafka)
    topic = maker.one(partitions=1)
    ingest: dict[str, Any] = {"header_timeout_ms": 3_000, "body_timeout_ms": 3_000, "max_body_bytes": 100_000}
    certificate = None
    if tls:
        certificate, key = make(folder, ends=datetime.now(UTC) + timedelta(days=100))
        ingest |= {"tls_certificate": str(certificate), "tls_key": str(key)}
    with endpoint(folder, kafka.bootstrap_servers, topic, **ingest) as running:
        yield Attacked(running, kafka.bootstrap_servers, topic, certificate)
        assert running.stop() == 0
    maker.remove()


Frames = Callable[[http2.Connection], None]


def _resets(connection: http2.Connection, headers: dict[str, str]) -> None:
    block = http2.post(OPEN, headers)
    for stream in range(1, 10_001, 2):
        cancelled = frame(http2.RST_STREAM, 0, stream, http2.CANCEL)
        connection.send_raw(frame(http2.HEADERS, http2.END_HEADERS, stream, block) + cancelled)


def _many(kind: int, payload: bytes, stream: int = 0, count: int = 100_000) -> Frames:
    def send(connection: http2.Connection) -> None:
        for _ in range(count // 1_000):
            connection.send_raw(frame(kind, 0, stream, payload) * 1_000)

    return send


def _endless_headers(field: bytes) -> Frames:
    def send(connection: http2.Connection) -> None:
        connection.send_raw(frame(http2.HEADERS, 0, 1, http2.post(OPEN, {})))
        for _ in range(5_000):
            connection.send_raw(frame(http2.CONTINUATION, 0, 1, field))

    return send


def _bomb(connection: http2.Connection) -> None:
    """One name of 4,000 bytes goes into the table, and is then meant 12,000 times by one byte: 48 MB."""
    long = b"\x40" + http2.text("x") + b"\x7f\xa1\x1e" + b"b" * 4_000
    connection.send_raw(frame(http2.HEADERS, http2.END_HEADERS, 1, http2.post(OPEN, {}) + long + b"\xbe" * 12_000))


def _more_streams_than_allowed(connection: http2.Connection) -> None:
    block = http2.post(OPEN, {})
    for stream in range(1, 10_001, 2):
        connection.send_raw(frame(http2.HEADERS, http2.END_HEADERS, stream, block))


ATTACKS: dict[str, Frames] = {
    "resets (CVE-2023-44487)": lambda connection: _resets(connection, {}),
    "resets of requests with a length": lambda connection: _resets(connection, {"content-length": "5"}),
    "settings": _many(http2.SETTINGS, b""),
    "pings": _many(http2.PING, b"12345678"),
    "priorities": _many(http2.PRIORITY, b"\0\0\0\0\1", 1),
    "window updates": _many(http2.WINDOW_UPDATE, b"\0\0\0\1"),
    "unknown frames": _many(99, bytes(100)),
    "endless headers (CVE-2024-27316)": _endless_headers((b"\0" + http2.text("x") + http2.text("y" * 100)) * 100),
    "empty continuations": _endless_headers(b""),
    "a header bomb": _bomb,
    "more streams than allowed": _more_streams_than_allowed,
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_floods_of_http2(secure: Attacked, attack: str) -> None:
    with secure(), contextlib.ExitStack() as stack:
        for _ in range(4):
            connection = stack.enter_context(secure.http2())
            with contextlib.suppress(OSError):  # as soon as it has had enough
                ATTACKS[attack](connection)


def test_answers_that_nobody_has_room_for(secure: Attacked) -> None:
    """The client's window is zero: no byte of an answer's body may be sent."""
    no_window = b"\0\4" + bytes(4)
    with secure(), contextlib.ExitStack() as stack:
        for _ in range(10):
            connection = stack.enter_context(secure.http2(no_window))
            block = http2.post("/v1/webhook?writeKey=unknown", {})
            ended = http2.END_HEADERS | http2.END_STREAM
            connection.send_raw(b"".join(frame(http2.HEADERS, ended, stream, block) for stream in range(1, 400, 2)))
            connection.answered(range(1, 400, 2))


@pytest.mark.parametrize("begun", ["nothing", "half a handshake", "a whole handshake", "HTTP/2's first bytes"])
def test_connections_that_say_no_more_are_closed(secure: Attacked, begun: str) -> None:
    with secure(), contextlib.ExitStack() as stack:
        held = []
        for _ in range(50):
            connection = stack.enter_context(secure.endpoint.connect(PATIENCE_S))
            if begun == "half a handshake":
                connection.sendall(b"\x16\x03\x01\x02\x00\x01")
            elif begun != "nothing":
                context = secure.context()
                context.set_alpn_protocols(["h2"])
                connection = stack.enter_context(context.wrap_socket(connection, server_hostname="127.0.0.1"))
                if begun != "a whole handshake":
                    connection.sendall(b"PRI * HTTP/2.0\r\n\r\n")
            held.append(connection)
        for connection in held:
            with contextlib.suppress(ConnectionError):
                while connection.recv(1_000):
                    pass


def test_clients_that_never_take_their_answers(plain: Attacked) -> None:
    refused = request(b"", {}, key="unknown") * 100
    with plain(), contextlib.ExitStack() as stack:
        held = [stack.enter_context(plain.endpoint.connect()) for _ in range(50)]
        for connection in held:
            connection.setblocking(False)
        left = set(held)
        while left:  # until it is closed on them
            for connection in list(left):
                try:
                    connection.send(refused)
                except BlockingIOError:
                    continue
                except OSError:
                    left.discard(connection)


def test_headers_and_bodies_that_trickle_in_on_many_connections(plain: Attacked) -> None:
    whole = request(bytes(100_000), {}, key="open-key")
    with plain(), contextlib.ExitStack() as stack:
        held = {stack.enter_context(plain.endpoint.connect()): number for number in range(200)}
        for connection, number in held.items():
            connection.sendall(whole[:-99_900] if number % 2 else whole[:20])
            connection.setblocking(False)
        sent = 0
        while held:
            sent += 1
            assert sent < 99_900, "the last byte of a body would make it whole"
            for connection in list(held):
                try:
                    connection.send(b"x")
                    answer = connection.recv(1_000)
                except BlockingIOError:
                    continue
                except OSError:
                    answer = b""
                assert not answer or answer.startswith(b"HTTP/1.1 408 ")
                del held[connection]
            time.sleep(0.02)  # as slowly as it sends


def test_handshakes_without_end(secure: Attacked) -> None:
    def shake() -> None:
        for _ in range(100):
            with secure.endpoint.connect(PATIENCE_S) as connection:
                secure.context().wrap_socket(connection, server_hostname="127.0.0.1").close()

    with secure():
        threads = [threading.Thread(target=shake) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


def test_twenty_thousand_idle_connections(kafka: Kafka, tmp_path: Path) -> None:
    """Or as many as descriptors allow; from many addresses, because one has too few ports."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    count = min(20_000, hard - 1_000)
    if count < 1_000:
        pytest.skip(f"ulimit -Hn is {hard}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    maker = TopicMaker(kafka)
    topic = maker.one(partitions=1)
    try:
        with (
            endpoint(
                tmp_path, kafka.bootstrap_servers, topic, max_connections=count + 100, header_timeout_ms=600_000
            ) as running,
            contextlib.ExitStack() as stack,
        ):
            attacked = Attacked(running, kafka.bootstrap_servers, topic, None)
            with attacked():
                held = []
                for number in range(count):
                    connection = stack.enter_context(socket.socket())
                    connection.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
                    connection.bind((f"127.0.1.{1 + number % 4}", 0))
                    connection.connect(("127.0.0.1", running.port))
                    held.append(connection)
                running.wait_until(lambda: attacked.connections() >= count)
                for connection in held:
                    connection.close()
            assert running.stop() == 0
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        maker.remove()


@pytest.mark.parametrize("body_bytes", [500, 100_000])
def test_a_flood_of_refusals_beside_good_traffic(plain: Attacked, body_bytes: int) -> None:
    body = bytes(body_bytes)
    refused = {
        "unknown_key": request(body, {}, key="unknown"),
        "bad_signature": request(body, signature(b"another body")),
    }
    answers: list[int] = []

    def flood(sent: bytes) -> None:
        with plain.endpoint.connect(PATIENCE_S) as connection:
            for _ in range(500):
                connection.sendall(sent)
                answer = answer_on(connection)
                answers.append(answer.status if answer else 0)

    with plain():
        threads = [threading.Thread(target=flood, args=(sent,)) for sent in refused.values() for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert Counter(answers) == {401: 4_000}
