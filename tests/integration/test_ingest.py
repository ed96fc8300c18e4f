"""The endpoint's table, row by row, over real sockets and against real Kafka."""

import base64
import gzip
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.endpoint import (
    BODY,
    SIGNED,
    UNSIGNED,
    Answers,
    Endpoint,
    Record,
    answer_on,
    endpoint,
    records,
    request,
    signature,
)
from tests.support.kafka import Kafka, TopicMaker

OPEN = "writeKey=open-key"
LIMIT = 20_000
PATIENT_MS = 60_000


@pytest.fixture(scope="module")
def topic(kafka: Kafka) -> Iterator[str]:
    maker = TopicMaker(kafka)
    yield maker.one(partitions=3)
    maker.remove()


@pytest.fixture(scope="module")
def service(kafka: Kafka, topic: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    """It has the patience that a whole request needs on a slow machine."""
    limits: dict[str, Any] = {"max_body_bytes": LIMIT, "max_in_flight_bytes": 5 * LIMIT, "body_timeout_ms": PATIENT_MS}
    with endpoint(tmp_path_factory.mktemp("ingest"), kafka.bootstrap_servers, topic, **limits) as running:
        yield running


@pytest.fixture(scope="module")
def impatient(kafka: Kafka, topic: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    """It has none, for requests that never become whole."""
    limits: dict[str, Any] = {"body_timeout_ms": 500, "header_timeout_ms": 1_500}
    with endpoint(tmp_path_factory.mktemp("impatient"), kafka.bootstrap_servers, topic, **limits) as running:
        yield running


@pytest.fixture
def written(kafka: Kafka, topic: str) -> "Written":
    return Written(kafka.bootstrap_servers, topic)


class Written:
    """What came into the raw topic since the test began."""

    def __init__(self, bootstrap_servers: str, topic: str) -> None:
        self._where = bootstrap_servers, topic
        self._before = len(records(*self._where))

    def __call__(self) -> list[Record]:
        return sorted(records(*self._where), key=lambda record: record.timestamp)[self._before :]


def test_an_accepted_body_is_in_raw_as_designed(service: Endpoint, written: Written) -> None:
    before = int(time.time() * 1000)
    signed = signature(BODY)
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    answer = service.post(headers={**signed, "Content-Type": "application/json", "traceparent": trace})
    assert (answer.status, answer.body) == (200, b"OK")
    (record,) = written()
    assert before <= record.timestamp <= int(time.time() * 1000)
    assert record.key == b"d9c106000001"
    assert record.value == BODY
    assert dict(record.headers) == {
        "source": b"signed",
        "request_timestamp": signed["X-CIO-Timestamp"].encode(),
        "event_id": b"01E4C4CT6YDC7Y5M7FE1GWWPQJ",
        "traceparent": trace.encode(),
    }


@pytest.mark.parametrize(
    ("content_type", "kept"),
    [
        ("application/json", None),
        ("Application/JSON ; charset=utf-8", None),
        ("application/json-seq", b"application/json-seq"),
        ("text/plain; a=application/json", b"text/plain; a=application/json"),
    ],
)
def test_a_content_type_is_kept_if_it_is_not_json(
    service: Endpoint, written: Written, content_type: str, kept: bytes | None
) -> None:
    assert service.post(headers={"Content-Type": content_type}, query=OPEN).status == 200
    (record,) = written()
    assert dict(record.headers).get("content_type") == kept


@pytest.mark.parametrize("body", [b"", b"not json", b"\xff\x00", b"null", b"[1]", b'{"metric":"sent"}'])
def test_any_body_at_all_is_kept_without_a_key(service: Endpoint, written: Written, body: bytes) -> None:
    assert service.post(body).status == 200
    (record,) = written()
    assert (record.key, record.value) == (None, body)
    assert len(dict(record.headers)["event_id"]) == 64


def test_headers_that_are_none_are_left_out(service: Endpoint, written: Written) -> None:
    odd = {"X-CIO-Timestamp": "soon", "traceparent": "00-nonsense", "Content-Type": "x" * 2000}
    assert service.post(headers=odd, query=OPEN).status == 200
    (record,) = written()
    assert {name for name, _ in record.headers} == {"source", "event_id"}
    assert dict(record.headers)["source"] == b"unsigned"


@pytest.mark.parametrize("key", ["older-key", SIGNED["signing_keys"][1]])
@pytest.mark.parametrize("write_key", SIGNED["write_keys"])
def test_every_write_key_and_every_signing_key_works(service: Endpoint, write_key: str, key: str) -> None:
    assert service.post(headers=signature(BODY, key=key), query=f"writeKey={write_key}").status == 200


def test_the_write_key_as_basic_user(service: Endpoint) -> None:
    basic = {"Authorization": "Basic " + base64.b64encode(b"open-key:").decode()}
    assert service.post(headers=basic, query="").status == 200
    assert service.post(headers=basic, query="writeKey=other").status == 401
    assert service.post(headers={"Authorization": "Basic open-key"}, query="").status == 401


@pytest.mark.parametrize(
    ("query", "headers"),
    [
        ("", signature(BODY)),
        ("writeKey=", signature(BODY)),
        ("writeKey=unknown", signature(BODY)),
        (f"writeKey={SIGNED['write_keys'][0]}", {}),
        (f"writeKey={SIGNED['write_keys'][0]}", signature(BODY + b" ")),
        (f"writeKey={SIGNED['write_keys'][0]}", signature(BODY, key="another-key")),
        (f"writeKey={SIGNED['write_keys'][0]}", signature(BODY, timestamp=int(time.time()) - 90_000)),
        (f"writeKey={SIGNED['write_keys'][0]}", signature(BODY, timestamp=int(time.time()) + 90_000)),
        (f"writeKey={SIGNED['write_keys'][0]}", {"X-CIO-Timestamp": "1", "X-CIO-Signature": "x"}),
    ],
)
def test_who_cannot_prove_himself_gets_401_and_nothing_is_written(
    service: Endpoint, written: Written, query: str, headers: dict[str, str]
) -> None:
    answer = service.post(headers=headers, query=query)
    assert answer.status == 401
    assert "www-authenticate" in answer.headers
    assert written() == []


def test_a_day_old_request_is_no_stranger(service: Endpoint) -> None:
    assert service.post(headers=signature(BODY, timestamp=int(time.time()) - 80_000)).status == 200


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH", "NONSENSE"])
def test_another_method_is_405(service: Endpoint, written: Written, method: str) -> None:
    answer = service.post(method=method)
    assert (answer.status, answer.headers["allow"]) == (405, "POST")
    assert written() == []


@pytest.mark.parametrize("path", ["/", "/v1", "/v1/webhook/x", "/v1/webhooks", "/V1/webhook", "/healthz", "/metrics"])
def test_another_path_is_404(service: Endpoint, path: str) -> None:
    assert service.post(path=path).status == 404


@pytest.mark.parametrize(
    "path",
    [
        *("/v1/webhook/", "//v1/webhook", "/v1//webhook//", "/v1/webhook%20", "/v1/webhook/%20", "/%761/webhook"),
        "http://test/v1/webhook",
    ],
)
def test_slashes_and_blanks_too_many_are_no_other_path(service: Endpoint, written: Written, path: str) -> None:
    assert service.post(path=path).status == 200
    assert [record.value for record in written()] == [BODY]


@pytest.mark.parametrize("query", ["writeKey=%20{}%20", "writeKey=+{}+", "+writeKey={}%0A", "writeKey={}#top"])
def test_blanks_around_the_key_and_a_fragment_are_no_other_key(service: Endpoint, query: str) -> None:
    assert service.post(query=query.format(SIGNED["write_keys"][0])).status == 200
    assert service.post(query=query.format("unknown")).status == 401


def test_blanks_around_a_basic_user_are_no_other_key(service: Endpoint) -> None:
    basic = {"Authorization": "basic  " + base64.b64encode(b" open-key :").decode()}
    assert service.post(headers=basic, query="").status == 200


def test_a_body_at_the_limit_is_taken_and_one_over_it_refused(service: Endpoint, written: Written) -> None:
    assert service.post(bytes(LIMIT)).status == 200
    assert service.post(bytes(LIMIT + 1)).status == 413
    assert [len(record.value) for record in written()] == [LIMIT]


def test_an_announced_giant_is_refused_before_it_is_sent(service: Endpoint) -> None:
    answer = service.exchange(request(b"", signature(b""), length=10**12))
    assert answer is not None
    assert answer.status == 413


def test_a_chunked_giant_is_refused_while_it_is_sent(service: Endpoint) -> None:
    head = request(b"", {**signature(b""), "Transfer-Encoding": "chunked"}, length=-1)
    chunk = b"1000\r\n" + bytes(0x1000) + b"\r\n"
    with service.connect() as connection:
        connection.sendall(head + chunk * 6)
        answer = answer_on(connection)
    assert answer is not None
    assert answer.status == 413


def test_a_client_that_sends_all_before_it_listens_still_gets_its_413(service: Endpoint) -> None:
    with service.connect() as connection:
        connection.sendall(request(b"", signature(b""), length=3 * LIMIT))
        for _ in range(30):
            time.sleep(0.005)
            connection.sendall(bytes(LIMIT // 10))
        answer = answer_on(connection)
    assert answer is not None
    assert answer.status == 413


def test_a_chunked_body_is_put_together(service: Endpoint, written: Written) -> None:
    head = request(b"", {**signature(BODY), "Transfer-Encoding": "chunked"}, length=-1)
    chunks = b"".join(b"1\r\n%c\r\n" % byte for byte in BODY)
    answer = service.exchange(head + chunks + b"0\r\n\r\n")
    assert answer is not None
    assert answer.status == 200
    assert [record.value for record in written()] == [BODY]


def test_a_body_that_ends_early_is_408_and_not_written(service: Endpoint, written: Written) -> None:
    cut = service.exchange(request(BODY, {}, key="open-key", length=len(BODY) + 1), half_close=True)
    head = request(b"", {"Transfer-Encoding": "chunked"}, key="open-key", length=-1)
    chunk = b"%x\r\n%s\r\n" % (len(BODY), BODY)
    cut_chunked = service.exchange(head + chunk, half_close=True)
    with_trailers = service.exchange(head + chunk + b"0\r\nX-More: 1\r\n\r\n")
    assert [answer and answer.status for answer in (cut, cut_chunked, with_trailers)] == [408, 408, 408]
    assert written() == []


def test_a_body_that_trickles_in_is_408(impatient: Endpoint, written: Written) -> None:
    with impatient.connect() as connection:
        connection.sendall(request(BODY, length=len(BODY) + 100))
        answer = answer_on(connection)
    assert answer is not None
    assert answer.status == 408
    assert written() == []


def test_headers_that_trickle_in_are_cut_off(impatient: Endpoint) -> None:
    with impatient.connect() as connection:
        connection.sendall(b"POST /v1/webhook HTTP/1.1\r\nHost: x\r\n")
        assert connection.recv(100) == b""
    with impatient.connect() as connection:
        assert connection.recv(100) == b""


@pytest.mark.parametrize("sign_compressed", [True, False])
def test_gzip_is_undone_and_either_form_may_be_signed(
    service: Endpoint, written: Written, sign_compressed: bool
) -> None:
    packed = gzip.compress(BODY)
    headers = {**signature(packed if sign_compressed else BODY), "Content-Encoding": "GZip"}
    assert service.post(packed, headers).status == 200
    assert [record.value for record in written()] == [BODY]


def test_a_gzip_bomb_is_refused(service: Endpoint, written: Written) -> None:
    bomb = gzip.compress(bytes(LIMIT + 1))
    assert len(bomb) < LIMIT // 10
    assert service.post(bomb, {**signature(bomb), "Content-Encoding": "gzip"}).status == 413
    assert written() == []


@pytest.mark.parametrize("coding", ["gzip", "br", "identity"])
def test_what_cannot_be_decompressed_is_kept_as_it_came(service: Endpoint, written: Written, coding: str) -> None:
    assert service.post(BODY, {**signature(BODY), "Content-Encoding": coding}).status == 200
    assert [record.value for record in written()] == [BODY]


def test_pipelined_requests_are_answered_in_order(service: Endpoint, written: Written) -> None:
    with service.connect() as connection:
        connection.sendall(
            request(b"1") + request(b"2", {}) + request(b"3") + request(b"4", key="unknown") + request(b"5")
        )
        answers = Answers(connection)
        statuses = [answer.status if (answer := answers.next()) else None for _ in range(5)]
    assert statuses == [200, 401, 200, 401, 200]
    assert sorted(record.value for record in written()) == [b"1", b"3", b"5"]


def test_a_connection_is_kept_after_every_refusal(service: Endpoint) -> None:
    with service.connect() as connection:
        for sent, status in (
            (request(BODY, {}), 401),
            (request(BODY).replace(b"/v1/webhook", b"/elsewhere"), 404),
            (request(BODY).replace(b"POST", b"PUT"), 405),
            (request(bytes(LIMIT + 1)), 413),
            (request(BODY), 200),
        ):
            connection.sendall(sent)
            answer = answer_on(connection)
            assert answer is not None
            assert answer.status == status


def test_more_bytes_than_may_be_on_their_way_in_are_refused_at_once(service: Endpoint) -> None:
    """Bodies that are nearly whole, on many connections, take no more memory than may wait for Kafka."""
    busy = 'sternpost_ingest_requests_total{outcome="busy",source="unsigned"}'
    before = service.metric(busy)
    held = [service.connect() for _ in range(6)]
    for connection in held:
        connection.sendall(request(bytes(LIMIT), {}, key="open-key")[:-1])
    service.wait_until(lambda: service.metric(busy) == before + 1)
    assert service.post().status == 200  # a small one is still taken
    for connection in held:
        connection.sendall(b"\0")
    answers = [answer_on(connection) for connection in held]
    assert sorted(answer.status for answer in answers if answer) == [200] * 5 + [503]
    assert service.post(bytes(LIMIT)).status == 200
    for connection in held:
        connection.close()


CHUNKS = b"5\r\nhello\r\n0\r\n\r\n"


@pytest.mark.parametrize(
    ("headers", "body", "status"),
    [
        (["Content-Length: 3", "Transfer-Encoding: chunked"], CHUNKS, 200),
        (["Content-Length: 99999999", "Transfer-Encoding: chunked"], CHUNKS, 200),
        (["Transfer-Encoding: CHUNKED"], CHUNKS, 200),
        (["Content-Length: 5", "Content-Length: 5"], b"hello", 200),
        (["Content-Length: 5", "Content-Length: 6"], b"hello", 400),
        (["Content-Length: 5, 5"], b"hello", 400),
        (["Content-Length: +5"], b"hello", 400),
        (["Content-Length: 18446744073709551616"], b"hello", 400),
        (["Transfer-Encoding: identity"], b"hello", 400),
        (["Transfer-Encoding: chunked, identity"], CHUNKS, 400),
        (["Transfer-Encoding: chunked"], b"FFFFFFFFFFFFFFFF\r\nhello", 408),
        (["Transfer-Encoding: chunked"], b"5;" + b"x" * 100_000 + b"\r\nhello\r\n0\r\n\r\n", 408),
        (["Content-Length: 5", *(f"X-{number}: x" for number in range(200))], b"hello", 431),
        (["Content-Length: 5", "X: folded", " into two"], b"hello", 400),
        (["Content-Length: 5", "Content-Type: \xff", "traceparent: \xff", "Content-Encoding: \xff"], b"hello", 200),
    ],
)
def test_a_request_is_read_in_one_way_or_not_at_all(
    service: Endpoint, impatient: Endpoint, written: Written, headers: list[str], body: bytes, status: int
) -> None:
    """What a proxy and we could read differently, or what would cost more than it should."""
    head = ["POST /v1/webhook?writeKey=open-key HTTP/1.1", "Host: test", *headers, "", ""]
    answer = (impatient if status == 408 else service).exchange("\r\n".join(head).encode("latin-1") + body)
    assert answer is not None
    assert answer.status == status
    assert [record.value for record in written()] == ([b"hello"] if status == 200 else [])


def test_the_first_of_two_write_keys_counts(service: Endpoint) -> None:
    assert service.post(headers={}, query="writeKey=open-key&writeKey=unknown").status == 200
    assert service.post(headers={}, query="writeKey=unknown&writeKey=open-key").status == 401
    assert service.post(headers={}, query="write%4Bey=open-key").status == 200


def test_leave_to_send_is_given_only_where_the_body_is_wanted(service: Endpoint) -> None:
    with service.connect() as connection:
        connection.sendall(request(b"", {**signature(BODY), "Expect": "100-continue"}, length=len(BODY)))
        assert connection.recv(1000).startswith(b"HTTP/1.1 100 ")
        connection.sendall(BODY)
        assert connection.recv(1000).startswith(b"HTTP/1.1 200 ")
    with service.connect() as connection:
        connection.sendall(request(b"", {**signature(BODY), "Expect": "100-continue"}, key="no", length=len(BODY)))
        assert connection.recv(1000).startswith(b"HTTP/1.1 401 ")


def test_http_1_0_is_served(service: Endpoint) -> None:
    answer = service.exchange(request(BODY).replace(b"HTTP/1.1", b"HTTP/1.0"))
    assert answer is not None
    assert answer.status == 200


@pytest.mark.parametrize(
    ("garbage", "status"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
        (b"hello\r\n\r\n", 400),
        (b"POST /v1/webhook HTTP/9.9\r\n\r\n", 400),
        (b"POST /v1/webhook HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", 400),
        (b"POST /v1/webhook HTTP/1.1\r\nHost: x\r\nA: " + b"a" * 300_000 + b"\r\n\r\n", 431),
        (b"POST /v1/webhook?" + b"a" * 300_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 431),
    ],
)
def test_what_is_no_http_gets_the_servers_own_refusal(service: Endpoint, garbage: bytes, status: int) -> None:
    answer = service.exchange(garbage)
    assert answer is not None
    assert answer.status == status
    assert service.post().status == 200


def test_requests_are_counted_by_source_and_outcome(service: Endpoint) -> None:
    def counted(source: str, outcome: str) -> float:
        return service.metric(f'sternpost_ingest_requests_total{{outcome="{outcome}",source="{source}"}}')

    series = [
        ("signed", "ok"),
        ("unsigned", "ok"),
        ("signed", "bad_signature"),
        ("-", "unknown_key"),
        ("-", "not_found"),
    ]
    lost = counted("-", "wrong_method")
    service.post(method="GET")
    service.wait_until(lambda: counted("-", "wrong_method") == lost + 1)  # and so is all that went before it
    before = [counted(*one) for one in series]
    mismatches = 'sternpost_ingest_signature_failures_total{reason="mismatch",source="signed"}'
    mismatched = service.metric(mismatches)
    acks = service.metric("sternpost_ingest_ack_seconds_count")
    service.post()
    service.post(headers={}, query=OPEN)
    service.post(headers=signature(b"other"))
    service.post(query="writeKey=unknown")
    service.post(path="/")
    service.wait_until(lambda: [counted(*one) for one in series] == [count + 1 for count in before])
    service.wait_until(lambda: service.metric(mismatches) == mismatched + 1)
    service.wait_until(lambda: service.metric("sternpost_ingest_ack_seconds_count") == acks + 2)
    service.wait_until(lambda: service.metric("sternpost_ingest_in_flight") == 0)


def test_no_key_body_or_signature_is_logged_or_counted(service: Endpoint) -> None:
    service.post()
    service.post(query="writeKey=unknown-key", headers={"Authorization": "Basic dW5rbm93bjo="})
    service.post(headers=signature(b"other"))
    seen = service.log_file.read_text() + service.admin("/metrics")[1]
    secrets: list[Any] = [
        *SIGNED["write_keys"],
        *SIGNED["signing_keys"],
        *UNSIGNED["write_keys"],
        "unknown-key",
        "d9c106",
    ]
    assert [secret for secret in secrets if secret in seen] == []


PROXY_V1 = b"PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\r\n"
PROXY_V2 = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c" + bytes(12)
HTTP2_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(3) + b"\x04" + bytes(5)


@pytest.mark.parametrize("preface", [PROXY_V1, PROXY_V2, HTTP2_PREFACE], ids=["PROXY v1", "PROXY v2", "h2c"])
def test_what_a_proxy_must_not_be_set_to_send_is_refused(service: Endpoint, written: Written, preface: bytes) -> None:
    """As docs/proxy.md says: the PROXY protocol, and HTTP/2 without TLS."""
    answer = service.exchange(preface + request(BODY))
    assert answer is None or answer.status == 400
    assert written() == []
