"""What is acknowledged is in raw, byte for byte; and no bytes on the wire get an answer outside the contract."""

import gzip
import http.client
import itertools
import socket
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.endpoint import BODY, STATUSES, Answers, Endpoint, endpoint, records, request, signature
from tests.support.examples import examples
from tests.support.kafka import Kafka, TopicMaker

SERVERS_OWN = {400, 431}
"""What granian answers to what is no HTTP request."""


@pytest.fixture(scope="module")
def topic(kafka: Kafka) -> Iterator[str]:
    maker = TopicMaker(kafka)
    yield maker.one(partitions=3)
    maker.remove()


@pytest.fixture(scope="module")
def service(kafka: Kafka, topic: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    """It has the patience that a whole request needs on a slow machine."""
    folder = tmp_path_factory.mktemp("ingest")
    with endpoint(folder, kafka.bootstrap_servers, topic, max_body_bytes=100_000, body_timeout_ms=60_000) as running:
        yield running


@pytest.fixture
def impatient(kafka: Kafka, topic: str, tmp_path: Path) -> Iterator[Endpoint]:
    """It has none, for requests that never become whole."""
    with endpoint(
        tmp_path,
        kafka.bootstrap_servers,
        topic,
        max_body_bytes=100_000,
        body_timeout_ms=500,
        header_timeout_ms=500,
    ) as running:
        yield running


json_bodies = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["data", "event_id", "x"]), inner),
    max_leaves=8,
).map(lambda value: repr(value).encode("utf-8", "replace"))


@st.composite
def framed(draw: st.DrawFn) -> tuple[bytes, bytes]:
    """A body, and a request that carries it: by length or in chunks, plain or gzip, signed over either form."""
    body = draw(st.binary(max_size=3000) | json_bodies | st.just(BODY))
    packed = draw(st.booleans()) and gzip.compress(body)
    sent = packed or body
    headers = signature(draw(st.sampled_from([body, sent])))
    if packed:
        headers["Content-Encoding"] = "gzip"
    if draw(st.booleans()):
        return body, request(sent, headers)
    cuts = sorted({0, len(sent), *draw(st.lists(st.integers(0, len(sent)), max_size=4))})
    chunks = b"".join(b"%x\r\n%s\r\n" % (b - a, sent[a:b]) for a, b in itertools.pairwise(cuts) if b > a)
    head = request(b"", {**headers, "Transfer-Encoding": "chunked"}, length=-1)
    return body, head + chunks + b"0\r\n\r\n"


def test_what_is_acknowledged_is_in_raw_byte_for_byte(kafka: Kafka, topic: str, service: Endpoint) -> None:
    before = Counter(record.value for record in records(kafka.bootstrap_servers, topic))
    sent: Counter[bytes] = Counter()

    @settings(max_examples=examples(1.5), deadline=None, suppress_health_check=list(HealthCheck))
    @given(requests=st.lists(framed(), min_size=1, max_size=5))
    def send(requests: list[tuple[bytes, bytes]]) -> None:
        with service.connect() as connection:
            connection.sendall(b"".join(wire for _, wire in requests))
            answers = Answers(connection)
            for body, _ in requests:
                answer = answers.next()
                assert answer is not None
                assert answer.status == 200
                sent[body] += 1

    send()
    after = Counter(record.value for record in records(kafka.bootstrap_servers, topic))
    assert after - before == sent


@st.composite
def bent(draw: st.DrawFn) -> bytes:
    """A request with something wrong with it, or with nothing wrong at all."""
    wire = bytearray(request(draw(st.binary(max_size=200)), key=draw(st.sampled_from(["open-key", "unknown", ""]))))
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(wire)))
        match draw(st.sampled_from(["cut", "insert", "replace", "repeat"])):
            case "cut":
                del wire[at:]
            case "insert":
                wire[at:at] = draw(st.binary(max_size=20))
            case "replace":
                wire[at : at + 1] = draw(st.binary(min_size=1, max_size=1))
            case _:
                wire[at:at] = wire[: draw(st.integers(0, len(wire)))]
    return bytes(wire)


def test_no_bytes_get_an_answer_outside_the_contract(impatient: Endpoint) -> None:
    @settings(max_examples=examples(4), deadline=None, suppress_health_check=list(HealthCheck))
    @given(wire=st.binary(max_size=500) | bent())
    def send(wire: bytes) -> None:
        with impatient.connect() as connection:
            try:
                connection.sendall(wire)
                connection.shutdown(socket.SHUT_WR)
                answers = Answers(connection)
                while (answer := answers.next()) is not None:
                    assert answer.status in STATUSES | SERVERS_OWN
                    if answer.status in SERVERS_OWN:
                        break
            except (ConnectionError, http.client.HTTPException):
                pass  # it went on sending after it had been told to stop, or asked by HEAD

    send()
    # If the machine lets it wait between connecting and sending, it is cut off, too.
    impatient.wait_until(lambda: impatient.post(query="writeKey=unknown").status == 401)
    impatient.wait_until(lambda: impatient.admin("/readyz")[0] == 200)
    assert impatient.metric('sternpost_ingest_requests_total{outcome="internal_error",source="-"}') == 0
    assert not [line for line in impatient.log() if line["event"] == "request failed"]
