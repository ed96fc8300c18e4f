"""The endpoint over TLS, by HTTP/1.1 and HTTP/2."""

import contextlib
import http.client
import signal
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import pytest

from ingest.certificate import read_expiry
from runtime.errors import ConfigurationError
from tests.support import http2
from tests.support.certificate import make
from tests.support.certificate_kinds import ENDS as KINDS_END
from tests.support.certificate_kinds import SERVED, UNSERVED
from tests.support.endpoint import BODY, Endpoint, endpoint, read_answer, records, request, signature
from tests.support.kafka import WRITE_KEY, Kafka, TopicMaker
from tests.support.waiting import PATIENCE_S

ENDS = datetime.now(UTC).replace(microsecond=0) + timedelta(days=5)
SERVE = """
import asyncio, socket, ssl, sys
from pathlib import Path
from ingest.server import Server
from runtime.settings.model import IngestSettings

async def serve(certificate, key):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        settings = IngestSettings(tls_certificate=certificate, tls_key=key)
        serving = asyncio.create_task(Server(None, listener, settings, 10).serve())
        context = ssl.create_default_context(cafile=certificate)
        _, writer = await asyncio.open_connection(*listener.getsockname(), ssl=context)
        writer.close()
        print("served", flush=True)

asyncio.run(serve(*map(Path, sys.argv[1:])))
"""
LIMIT = 50_000  # all of it goes without leave from the other side
OPEN = "/v1/webhook?writeKey=open-key"


class Secure(NamedTuple):
    endpoint: Endpoint
    topic: str
    certificate: Path

    def context(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=self.certificate)

    def http2(self) -> http2.Connection:
        return http2.Connection(self.endpoint.connect(), self.context())


@pytest.fixture(scope="module")
def secure(kafka: Kafka, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secure]:
    with serving(kafka, tmp_path_factory.mktemp("tls"), body_timeout_ms=60_000) as secure:
        yield secure


@contextmanager
def serving(kafka: Kafka, folder: Path, body_timeout_ms: int) -> Iterator[Secure]:
    maker = TopicMaker(kafka)
    topic = maker.one(partitions=1)
    certificate, key = make(folder, ends=ENDS)
    with endpoint(
        folder,
        kafka.bootstrap_servers,
        topic,
        max_body_bytes=LIMIT,
        body_timeout_ms=body_timeout_ms,
        tls_certificate=str(certificate),
        tls_key=str(key),
    ) as running:
        yield Secure(running, topic, certificate)
        assert running.stop() == 0
    maker.remove()


def test_https_is_spoken_and_nothing_else(secure: Secure) -> None:
    connection = http.client.HTTPSConnection(
        "127.0.0.1", secure.endpoint.port, timeout=PATIENCE_S, context=secure.context()
    )
    try:
        connection.request("POST", OPEN, BODY)
        assert read_answer(connection.getresponse()).status == 200
    finally:
        connection.close()
    context = secure.context()
    context.set_alpn_protocols(["h2", "http/1.1"])
    with context.wrap_socket(secure.endpoint.connect(), server_hostname="127.0.0.1") as choosing:
        assert (choosing.version(), choosing.selected_alpn_protocol()) == ("TLSv1.3", "h2")
    with secure.endpoint.connect() as plain:
        plain.sendall(request(BODY))
        with contextlib.suppress(ConnectionResetError):  # it may close before it has read all
            assert not plain.recv(100).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("kind", [*SERVED, *UNSERVED])
def test_a_certificate_is_refused_if_the_server_cannot_use_it_and_no_other(tmp_path: Path, kind: str) -> None:
    """The server ends its process for those, so each is tried in a process of its own."""
    certificate, key = (SERVED | UNSERVED)[kind](tmp_path)
    if kind in SERVED:
        assert read_expiry(certificate, key) == KINDS_END
    else:
        with pytest.raises(ConfigurationError, match=r"ingest\.tls_certificate.*ingest\.tls_key.*; use an X\.509"):
            read_expiry(certificate, key)
    ran = subprocess.run(
        [sys.executable, "-c", SERVE, certificate, key], capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )
    assert (ran.stdout == "served\n") == (kind in SERVED), ran
    assert (ran.returncode == -signal.SIGABRT) == (kind in UNSERVED), ran


def test_http2_ends_a_body_by_its_framing(kafka: Kafka, secure: Secure) -> None:
    """With and without a length, with an empty frame at the end as many clients send it, on one connection."""
    bodies = [b"with length", b"without", b"an empty frame ends it", b"", bytes(LIMIT)]
    with secure.http2() as connection:
        signed = {name.lower(): value for name, value in signature(bodies[0]).items()}
        length = {"content-length": str(len(bodies[0]))}
        first = connection.begin(f"/v1/webhook?writeKey={WRITE_KEY}", {**signed, **length})
        connection.send(first, bodies[0], end=True)
        second, third, fourth, fifth = (connection.begin(OPEN, {}) for _ in range(4))
        connection.send(second, bodies[1], end=True)
        connection.send(third, bodies[2], end=False)
        connection.send(third, b"", end=True)
        connection.send(fourth, b"", end=True)
        for at in range(0, LIMIT, 16_000):
            connection.send(fifth, bytes(min(16_000, LIMIT - at)), end=at + 16_000 >= LIMIT)
        streams = [first, second, third, fourth, fifth]
        assert connection.statuses(streams) == dict.fromkeys(streams, 200)
    written = {record.value for record in records(kafka.bootstrap_servers, secure.topic)}
    assert set(bodies) <= written


def test_http2_refuses_as_http1_does(secure: Secure) -> None:
    with secure.http2() as connection:
        unknown, elsewhere, giant = (
            connection.begin("/v1/webhook?writeKey=unknown", {}),
            connection.begin("/elsewhere", {}),
            connection.begin(OPEN, {"content-length": str(LIMIT + 1)}),
        )
        connection.send(unknown, b"body", end=True)
        connection.send(elsewhere, b"body", end=True)
        assert connection.statuses([unknown, elsewhere, giant]) == {unknown: 401, elsewhere: 404, giant: 413}


def test_a_body_that_is_cancelled_is_not_taken_for_a_whole_one(kafka: Kafka, tmp_path: Path) -> None:
    with serving(kafka, tmp_path, body_timeout_ms=500) as impatient:

        def refused() -> float:
            sample = 'sternpost_ingest_requests_total{{outcome="{}",source="unsigned"}}'
            return sum(impatient.endpoint.metric(sample.format(outcome)) for outcome in ("incomplete", "too_slow"))

        lengths: list[dict[str, str]] = [{"content-length": "100"}, {"content-length": str(LIMIT)}, {}]
        with impatient.http2() as connection:
            for count, length in enumerate(lengths, start=1):
                cut = connection.begin(OPEN, length)
                connection.send(cut, b"cut short", end=False)
                connection.cancel(cut)
                impatient.endpoint.wait_until(lambda count=count: refused() == count)
        assert records(kafka.bootstrap_servers, impatient.topic) == []


def test_when_the_certificate_ends_is_said_and_shown(secure: Secure) -> None:
    assert secure.endpoint.metric("sternpost_ingest_certificate_expiry_seconds") == ENDS.timestamp()
    line = secure.endpoint.logged("the TLS certificate ends soon: replace it and restart ingest")
    assert line["ends"] == ENDS.isoformat()
