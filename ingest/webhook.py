"""`POST /v1/webhook`: from a request to its response.

The checks, in this order, and the status if one fails:

other path                                          404
other method                                        405
no or unknown write key                             401
signature missing, malformed or expired             401   before the body is read; if the source has signing keys
body over the limit, by Content-Length or as read   413
body truncated or too slow                          408
too many bytes of bodies being received             503
too many bytes of large bodies being examined       503
signature not made by a key of the source           401
too many bodies wait for acknowledgement            503
no acknowledgement by the deadline                  503   it may still come: a retry is deduplicated by event id
Kafka refused the record                            503
an internal error                                   503
acknowledged by Kafka                               200   whatever the body holds

Customer.io takes any 2xx within 4 seconds for success and retries everything else for seven days, while later events
of the same webhook wait. After 400, 401, 402, 403, 404, 405, 410, 429, 500, 502, 521, a refused or reset connection or
a TLS error it waits an hour before the next try; after other failures, such as 408, 413 and 503, it backs off
exponentially. So a fault of ours, and a fault that may pass by itself, is answered 503 or 408; the statuses that cost
an hour are left to requests that no retry can make right. https://docs.customer.io/integrations/api/webhooks
"""

import asyncio
import re
import time
import traceback
from pathlib import PurePath
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import unquote

import structlog

from ingest.examination import LARGE_BYTES, LargeBodyExaminer, examine
from ingest.publisher import Headers as RecordHeaders
from ingest.publisher import Publisher, PublishOutcome, TooManyInFlightError
from ingest.request_body import (
    BodyReader,
    BodyTimeoutError,
    BodyTooLargeError,
    IncompleteBodyError,
    ReceiveBufferFullError,
    gunzip,
)
from ingest.sources import Source, Sources, extract_write_key
from runtime import metrics
from runtime.settings.model import Settings
from schemas import record_headers as record
from schemas.customerio import signature
from schemas.customerio.event_identity import Identity

if TYPE_CHECKING:
    from granian._granian import RSGIHeaders as RequestHeaders
    from granian._granian import RSGIHTTPProtocol as HTTPProtocol
    from granian.rsgi import Scope

log = structlog.get_logger()

PATH = "/v1/webhook"
LONGEST_CONTENT_TYPE = 1024

_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
_TRACEPARENT_LENGTH = 55


class Response(NamedTuple):
    """A response of the endpoint."""

    status: int
    outcome: str
    """The label of `sternpost_ingest_requests_total`."""
    body: bytes
    headers: list[tuple[str, str]]
    closing_headers: list[tuple[str, str]]
    """The headers with `Connection: close`, which asks the client not to use the connection again."""


_TEXT = ("content-type", "text/plain; charset=utf-8")
_CLOSE = ("connection", "close")


def _response(status: int, outcome: str, body: str, *headers: tuple[str, str]) -> Response:
    sent = [_TEXT, *headers]
    return Response(status, outcome, body.encode(), sent, [*sent, _CLOSE])


class Responses:
    """All responses of the endpoint."""

    def __init__(self, retry_after_s: int) -> None:
        """Make the responses. Each 503 says `Retry-After: retry_after_s`."""
        retry = ("retry-after", str(retry_after_s))
        challenge = ("www-authenticate", 'Basic realm="webhook"')
        self.ok = _response(200, "ok", "OK")

        self.unknown_key = _response(401, "unknown_key", "no or unknown write key\n", challenge)
        self.bad_signature = _response(401, "bad_signature", "missing, wrong or outdated signature\n", challenge)
        self.not_found = _response(404, "not_found", f"webhooks go to {PATH}\n")
        self.wrong_method = _response(405, "wrong_method", "webhooks are sent by POST\n", ("allow", "POST"))

        self.too_large = _response(413, "too_large", "the body is over the limit\n")
        self.incomplete = _response(408, "incomplete", "the body did not arrive whole\n")
        self.too_slow = _response(408, "too_slow", "the body took too long\n")

        self.busy = _response(503, "busy", "too much waits for Kafka already; try again\n", retry)
        self.late = _response(503, "late", "Kafka did not acknowledge in time; try again\n", retry)
        self.refused = _response(503, "refused", "Kafka did not take it; try again\n", retry)
        self.internal_error = _response(503, "internal_error", "a fault of the receiver; try again\n", retry)
        self.all = [value for value in vars(self).values() if isinstance(value, Response)]


class Webhook:
    """The RSGI application: the server calls it for each request."""

    def __init__(self, settings: Settings, publisher: Publisher) -> None:
        """Prepare sources and responses. `publisher` writes the bodies."""
        ingest = settings.ingest
        self._responses = Responses(ingest.retry_after_s)
        self._sources = self._make_sources(settings)
        self._body_reader = BodyReader(ingest.max_body_bytes, ingest.body_timeout_ms / 1000, ingest.max_in_flight_bytes)
        self._large_bodies = LargeBodyExaminer(ingest.max_in_flight_bytes)
        self._response_to = {
            PublishOutcome.WRITTEN: self._responses.ok,
            PublishOutcome.LATE: self._responses.late,
            PublishOutcome.REFUSED: self._responses.refused,
        }
        self._draining = False
        self._publisher = publisher
        self._time = asyncio.get_running_loop().time
        self._limit = ingest.max_body_bytes
        self._deadline_s = ingest.produce_deadline_ms / 1000
        self._tolerance_s = ingest.signature_tolerance_s
        self._body_bytes = metrics.buffered_histogram(metrics.INGEST_BODY_BYTES)

    def replace_sources(self, settings: Settings) -> None:
        """Take the sources, with their keys, from `settings`. Requests in progress keep the old ones."""
        self._sources = self._make_sources(settings)

    def start_draining(self) -> None:
        """Ask clients, in each response from now on, to close the connection."""
        self._draining = True

    def expire_reads(self, now: float) -> None:
        """End the reads of bodies that take too long. `now` is the event loop's time."""
        self._body_reader.expire(now)

    def _make_sources(self, settings: Settings) -> Sources:
        return Sources(settings.sources, (response.outcome for response in self._responses.all))

    async def __rsgi__(self, scope: "Scope", protocol: "HTTPProtocol") -> None:
        """Answer one request."""
        await self.handle(scope, protocol)

    async def handle(
        self, scope: "Scope", protocol: "HTTPProtocol", span: str | None = None
    ) -> tuple[Source, Response]:
        """Answer a request. Return its source and the response.

        `span` is the traceparent of the request's own span, if it has one; it takes the place of the header's.
        """
        sources = self._sources
        source, response = sources.nobody, self._responses.internal_error
        headers = scope.headers  # kept in a variable because each access copies them all
        try:
            source, refusal = self._admit(scope, headers, sources)
            response = refusal or await self._receive(scope, headers, protocol, source, span)
        except Exception as error:
            log.error("request failed", error=type(error).__name__, at=_location(error))  # noqa: TRY400
        source.requests[response.outcome].inc()
        sent = response.closing_headers if self._draining else response.headers
        protocol.response_bytes(response.status, sent, response.body)
        if response is not self._responses.ok and _sends_body(headers):
            await self._body_reader.discard(protocol)
        return source, response

    def _admit(self, scope: "Scope", headers: "RequestHeaders", sources: Sources) -> tuple[Source, Response | None]:
        """Return the request's source, and the response if it is refused before its body is read."""
        responses, header = self._responses, headers.get
        if not is_endpoint(scope.path):
            return sources.nobody, responses.not_found
        if scope.method != "POST":
            return sources.nobody, responses.wrong_method
        source = sources.find(extract_write_key(scope.query_string, header("authorization")))
        if source is None:
            return sources.nobody, responses.unknown_key
        if source.signers:
            given = header(signature.TIMESTAMP_HEADER), header(signature.SIGNATURE_HEADER)
            if (fault := signature.find_header_fault(*given, time.time(), self._tolerance_s)) is not None:
                source.count_signature_failure(fault)
                return source, responses.bad_signature
        return source, None

    async def _receive(
        self,
        scope: "Scope",
        headers: "RequestHeaders",
        protocol: "HTTPProtocol",
        source: Source,
        span: str | None,
    ) -> Response:
        responses, header, begun = self._responses, headers.get, self._time()
        try:
            http2 = scope.http_version == "2"
            received = await self._body_reader.read(protocol, header("content-length"), begun, http2=http2)
            body = received
            if (coding := header("content-encoding")) is not None and coding.strip().lower() in ("gzip", "x-gzip"):
                unpacked = gunzip(received, self._limit)
                body = received if unpacked is None else unpacked
            timestamp, given = header(signature.TIMESTAMP_HEADER), header(signature.SIGNATURE_HEADER)
            if len(received) <= LARGE_BYTES >= len(body):
                identity = examine(source, timestamp, given, received, body)
            else:
                identity = await self._large_bodies.examine(source, timestamp, given, received, body)
        except BodyTooLargeError:
            return responses.too_large
        except IncompleteBodyError:
            return responses.incomplete
        except BodyTimeoutError:
            return responses.too_slow
        except ReceiveBufferFullError:
            return responses.busy
        if identity is None:
            source.count_signature_failure("mismatch")
            return responses.bad_signature
        self._body_bytes.observe(len(body))
        try:
            trace = span or header("traceparent")
            written = self._publish(source, identity, body, timestamp, header("content-type"), trace, begun)
        except TooManyInFlightError:
            return responses.busy
        return self._response_to[await written]

    def _publish(
        self,
        source: Source,
        identity: Identity,
        body: bytes,
        timestamp: str | None,
        content_type: str | None,
        trace: str | None,
        begun: float,
    ) -> "asyncio.Future[PublishOutcome]":
        headers: RecordHeaders = [
            (record.SOURCE, source.name_bytes),
            (record.EVENT_ID, identity.event_id.encode()),
        ]
        if timestamp is not None and signature.is_timestamp(timestamp):
            headers.append((record.REQUEST_TIMESTAMP, timestamp.encode()))
        if content_type is not None and not is_json(content_type) and len(content_type) <= LONGEST_CONTENT_TYPE:
            headers.append((record.CONTENT_TYPE, content_type.encode()))
        if trace is not None and is_traceparent(trace):
            headers.append((record.TRACEPARENT, trace.encode()))
        now_ms = time.time_ns() // 1_000_000
        return self._publisher.publish(identity.person, body, headers, now_ms, begun + self._deadline_s)


def is_endpoint(path: str) -> bool:
    """Return whether a request's path means the endpoint. Extra slashes and blanks around it are ignored.

    Whoever sets up the URL does not notice them, and each 404 stalls Customer.io's feed for an hour.
    """
    return path == PATH or [part for part in unquote(path).strip().split("/") if part] == ["v1", "webhook"]


def _sends_body(headers: "RequestHeaders") -> bool:
    """Return whether more of the body may come. With `Expect: 100-continue` a client sends none after a refusal.

    https://www.rfc-editor.org/rfc/rfc9110#section-10.1.1
    """
    return "expect" not in headers and ("transfer-encoding" in headers or headers.get("content-length", "0") != "0")


def is_json(content_type: str) -> bool:
    """Return whether a Content-Type is `application/json`, with or without parameters."""
    return content_type == "application/json" or content_type.partition(";")[0].strip().lower() == "application/json"


def is_traceparent(text: str) -> bool:
    """Return whether a `traceparent` is valid. Later versions may append fields after a dash; version 00 may not.

    https://www.w3.org/TR/trace-context/
    """
    if _TRACEPARENT.match(text) is None:
        return False
    rest = text[_TRACEPARENT_LENGTH:]
    return not rest or (not text.startswith("00") and rest[0] == "-" and len(text) <= 4 * _TRACEPARENT_LENGTH)


def _location(error: BaseException) -> str:
    """Return the file and line that raised an error. Its message may quote the request, so it is not logged."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{PurePath(frame.filename).name}:{frame.lineno}"
