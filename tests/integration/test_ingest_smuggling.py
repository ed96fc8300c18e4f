"""Requests that two servers might read in two ways: ours reads them in one, or refuses them.

A request hidden in another's body must not be carried out. https://www.rfc-editor.org/rfc/rfc9112#section-11.2
"""

from collections.abc import Iterator

import pytest

from tests.support.endpoint import Answers, Endpoint, endpoint, records
from tests.support.kafka import Kafka, TopicMaker

LINE = b"POST /v1/webhook?writeKey=open-key HTTP/1.1"
HIDDEN = LINE + b"\r\nHost: test\r\nContent-Length: 6\r\n\r\nhidden"
LAST_CHUNK = b"0\r\n\r\n"
HELLO = b"5\r\nhello\r\n"


@pytest.fixture(scope="module")
def topic(kafka: Kafka) -> Iterator[str]:
    maker = TopicMaker(kafka)
    yield maker.one(partitions=1)
    maker.remove()


@pytest.fixture(scope="module")
def service(kafka: Kafka, topic: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    folder = tmp_path_factory.mktemp("ingest")
    with endpoint(
        folder, kafka.bootstrap_servers, topic, max_body_bytes=20_000, body_timeout_ms=700, header_timeout_ms=1_500
    ) as running:
        yield running


class Wire:
    """Sends bytes on a connection of their own."""

    def __init__(self, kafka: Kafka, topic: str, service: Endpoint) -> None:
        self._where = kafka.bootstrap_servers, topic
        self._service = service
        self._before = len(records(*self._where))

    def __call__(self, sent: bytes) -> tuple[list[int], list[bytes]]:
        """Return the statuses until the server closes the connection, and the bodies that were written."""
        statuses = []
        with self._service.connect() as connection:
            connection.sendall(sent)
            answers = Answers(connection)
            while (answer := answers.next()) is not None:
                statuses.append(answer.status)
        return statuses, [record.value for record in records(*self._where)[self._before :]]


@pytest.fixture
def wire(kafka: Kafka, topic: str, service: Endpoint) -> Wire:
    return Wire(kafka, topic, service)


def request(*headers: bytes, body: bytes, line: bytes = LINE) -> bytes:
    return b"\r\n".join([line, b"Host: test", *headers, b"", body])


BOTH = b"Content-Length: %d" % len(LAST_CHUNK + HIDDEN)


@pytest.mark.parametrize(
    ("coding", "status"),
    [
        (b"Transfer-Encoding: chunked", 200),
        (b"Transfer-Encoding:\tchunked", 200),
        (b"X: y\nTransfer-Encoding: chunked", 200),
        (b"Transfer-Encoding: gzip, chunked", 200),
        (b"Transfer-Encoding: identity\r\nTransfer-Encoding: chunked", 200),
        (b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity", 400),
        (b"Transfer-Encoding : chunked", 400),
        (b" Transfer-Encoding: chunked", 400),
        (b"Transfer-Encoding:\r\n chunked", 400),
        (b"Transfer-Encoding:\x0bchunked", 400),
        (b"Transfer-Encoding: chunked\x00", 400),
        (b"Transfer-Encoding: xchunked", 400),
        (b"Transfer-Encoding: chunked;q=1", 400),
        (b'Transfer-Encoding: "chunked"', 400),
        (b"Transfer-Encoding:", 400),
        (b"X: y\rTransfer-Encoding: chunked", 400),
    ],
)
def test_a_length_beside_a_coding_hides_nothing(wire: Wire, coding: bytes, status: int) -> None:
    """Chunks win, and the connection is closed, so that what comes after them is not taken for a request."""
    for headers in ([BOTH, coding], [coding, BOTH]):
        statuses, written = wire(request(*headers, body=LAST_CHUNK + HIDDEN))
        assert statuses == [status]
        assert b"hidden" not in written


def test_what_is_no_coding_is_only_a_header(wire: Wire) -> None:
    statuses, written = wire(request(BOTH, b"Transfer_Encoding: chunked", body=LAST_CHUNK + HIDDEN))
    assert (statuses, written) == ([200], [LAST_CHUNK + HIDDEN])


@pytest.mark.parametrize(
    ("length", "status"),
    [
        *((b"5", 200), (b"  5 ", 200), (b"05", 200), (b"5\r\nContent-Length: 05", 200)),
        *((b"5\r\nContent-Length: 0", 400), (b"0x5", 400), (b"5 5", 400), (b"5;", 400), (b"-0", 400), (b"", 400)),
        *((b"5\x00", 400), ("٥".encode(), 400), (b"5.0", 400), (b"1e1", 400), (b"9" * 400, 400)),
    ],
)
def test_a_length_is_decimal_digits(wire: Wire, length: bytes, status: int) -> None:
    statuses, written = wire(request(b"Content-Length: " + length, body=b"hello"))
    assert (statuses, written) == ([status], [b"hello"] if status == 200 else [])


@pytest.mark.parametrize(
    "size", [b"0x5\r\n", b"+5\r\n", b"-5\r\n", b"\r\n", b"5\n", b"5;\n", b"5;\r\r\n", b"10000000000000005\r\n"]
)
def test_the_size_of_a_chunk_is_hexadecimal_digits(wire: Wire, size: bytes) -> None:
    chunked = b"Transfer-Encoding: chunked"
    assert wire(request(chunked, body=size + b"hello\r\n" + LAST_CHUNK + HIDDEN)) == ([408], [])


@pytest.mark.parametrize("chunk", [b"5\r\nhello" + LAST_CHUNK, b"5\r\nhelloX\r\n" + LAST_CHUNK])
def test_a_chunk_has_the_size_that_it_says(wire: Wire, chunk: bytes) -> None:
    assert wire(request(b"Transfer-Encoding: chunked", body=chunk + HIDDEN)) == ([408], [])


def test_an_earlier_version_knows_no_chunks(wire: Wire) -> None:
    old = LINE.replace(b"1.1", b"1.0")
    assert wire(request(b"Transfer-Encoding: chunked", body=HELLO + LAST_CHUNK, line=old)) == ([400], [])


@pytest.mark.parametrize(
    ("line", "status"),
    [
        (LINE.replace(b"/v1", b"http://another.example/v1"), 200),
        (LINE.replace(b"/v1", b"https://user:word@another.example:1/v1"), 200),
        (b"POST another.example:443 HTTP/1.1", 404),
        (b"CONNECT another.example:443 HTTP/1.1", 404),
        (b"OPTIONS * HTTP/1.1", 404),
        (LINE.replace(b"webhook", b"webhook\x00"), 400),
        (LINE.replace(b" ", b"  "), 400),
        (LINE.removesuffix(b" HTTP/1.1"), 400),
    ],
)
def test_a_request_line_names_the_endpoint_or_nothing(wire: Wire, line: bytes, status: int) -> None:
    """Whatever host it names: we are nobody's proxy."""
    statuses, written = wire(request(b"Content-Length: 5", body=b"hello", line=line))
    assert (statuses, written) == ([status], [b"hello"] if status == 200 else [])


@pytest.mark.parametrize(
    "headers",
    [
        [b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA"],
        [b"Connection: Upgrade", b"Upgrade: websocket", b"Sec-WebSocket-Version: 13", b"Sec-WebSocket-Key: AAAA"],
        [b"Host: another.example"],
    ],
)
def test_nothing_is_upgraded_and_a_host_is_only_a_header(wire: Wire, headers: list[bytes]) -> None:
    assert wire(request(b"Content-Length: 5", *headers, body=b"hello")) == ([200], [b"hello"])


@pytest.mark.parametrize("header", [b"X: a\x00b", b"X\x00: ab", b"X: a\rb"])
def test_control_characters_in_headers_are_refused(wire: Wire, header: bytes) -> None:
    assert wire(request(b"Content-Length: 5", header, body=b"hello")) == ([400], [])
