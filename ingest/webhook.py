"""`POST /v1/webhook`: from a request to its answer, from top to bottom in the order things are checked.

other path                                          404
other method                                        405
no or unknown write key                             401
source signs: signature missing, malformed, old     401   before the body is read
body longer than the limit, by its length or so far 413
body cut short, or too slow                         408
too many bytes of bodies on their way in            503
source signs: no key of the source made it          401
too much waits for Kafka                            503
Kafka has not acknowledged by the deadline          503   and may do so later: a retry is told by its event id
Kafka refused it                                    503
a fault of ours                                     503
Kafka acknowledged                                  200   whatever the body is
"""

import asyncio
import time
import traceback
from pathlib import PurePath
from typing import TYPE_CHECKING

import structlog

from ingest import traceparent, write_key
from ingest.path import is_endpoint
from ingest.publisher import Headers as RecordHeaders
from ingest.publisher import Outcome, Publisher, TooManyInFlightError
from ingest.request_body import (
    BodyReader,
    BodyTimeoutError,
    BodyTooLargeError,
    IncompleteBodyError,
    ReceiveBufferFullError,
    gunzip,
)
from ingest.responses import Response, Responses
from ingest.sources import Source, Sources
from runtime import metrics
from runtime.settings.model import Settings
from schemas import record_headers as record
from schemas.customerio import signature
from schemas.customerio.event_identity import identify

if TYPE_CHECKING:
    from granian._granian import RSGIHeaders as RequestHeaders
    from granian._granian import RSGIHTTPProtocol as HTTPProtocol
    from granian.rsgi import Scope

log = structlog.get_logger()

LONGEST_CONTENT_TYPE = 1024


class Webhook:
    """The application: called by the server for each request."""

    def __init__(self, settings: Settings, publisher: Publisher) -> None:
        ingest = settings.ingest
        self.answers = Responses(ingest.retry_after_s)
        self.sources = self.load_sources(settings)
        self.reader = BodyReader(ingest.max_body_bytes, ingest.body_timeout_ms / 1000, ingest.max_in_flight_bytes)
        self._answer_to = {
            Outcome.WRITTEN: self.answers.ok,
            Outcome.LATE: self.answers.late,
            Outcome.REFUSED: self.answers.refused,
            Outcome.FULL: self.answers.busy,
        }
        self.draining = False
        """Answers ask the client to close the connection."""
        self._publisher = publisher
        self._time = asyncio.get_running_loop().time
        self._limit = ingest.max_body_bytes
        self._deadline_s = ingest.produce_deadline_ms / 1000
        self._tolerance_s = ingest.signature_tolerance_s
        self._body_bytes = metrics.buffered_histogram(metrics.INGEST_BODY_BYTES)

    def load_sources(self, settings: Settings) -> Sources:
        """Sources that count the outcomes there are."""
        return Sources(settings.sources, (answer.outcome for answer in self.answers.all))

    async def __rsgi__(self, scope: "Scope", protocol: "HTTPProtocol") -> None:
        await self.handle(scope, protocol)

    async def handle(self, scope: "Scope", protocol: "HTTPProtocol") -> tuple[Source, Response]:
        """Answers the request; whose it was, and the answer."""
        sources = self.sources
        source, answer = sources.nobody, self.answers.internal_error
        headers = scope.headers  # kept: each look at it copies them all
        try:
            source, refusal = self._admit(scope, headers, sources)
            answer = refusal or await self._take(scope, headers, protocol, source)
        except Exception as error:
            log.error("request failed", error=type(error).__name__, at=_place(error))  # noqa: TRY400
        source.requests[answer.outcome].inc()
        protocol.response_bytes(answer.status, answer.closing if self.draining else answer.headers, answer.body)
        if answer is not self.answers.ok and _may_have_more(headers):
            await self.reader.discard(protocol)
        return source, answer

    def _admit(self, scope: "Scope", headers: "RequestHeaders", sources: Sources) -> tuple[Source, Response | None]:
        """Whose request it is, and the answer where it is refused without its body."""
        answers, header = self.answers, headers.get
        if not is_endpoint(scope.path):
            return sources.nobody, answers.not_found
        if scope.method != "POST":
            return sources.nobody, answers.wrong_method
        source = sources.find(write_key.presented(scope.query_string, header("authorization")))
        if source is None:
            return sources.nobody, answers.unknown_key
        if source.signers:
            given = header(signature.TIMESTAMP_HEADER), header(signature.SIGNATURE_HEADER)
            if (fault := signature.fault(*given, time.time(), self._tolerance_s)) is not None:
                source.signature_failed(fault)
                return source, answers.bad_signature
        return source, None

    async def _take(
        self, scope: "Scope", headers: "RequestHeaders", protocol: "HTTPProtocol", source: Source
    ) -> Response:
        answers, header, begun = self.answers, headers.get, self._time()
        try:
            http2 = scope.http_version == "2"
            received = await self.reader.read(protocol, header("content-length"), begun, http2=http2)
            body = received
            if (coding := header("content-encoding")) is not None and coding.strip().lower() in ("gzip", "x-gzip"):
                unpacked = gunzip(received, self._limit)
                body = received if unpacked is None else unpacked
        except BodyTooLargeError:
            return answers.too_large
        except IncompleteBodyError:
            return answers.incomplete
        except BodyTimeoutError:
            return answers.too_slow
        except ReceiveBufferFullError:
            return answers.busy
        timestamp = header(signature.TIMESTAMP_HEADER)
        if source.signers and not self._signed(source, timestamp, header(signature.SIGNATURE_HEADER), received, body):
            source.signature_failed("mismatch")
            return answers.bad_signature
        self._body_bytes.observe(len(body))
        try:
            written = self._publish(
                source,
                body,
                timestamp,
                header("content-type"),
                traceparent.of_span.get() or header("traceparent"),
                begun,
            )
        except TooManyInFlightError:
            return answers.busy
        return self._answer_to[await written]

    def _signed(self, source: Source, timestamp: str, given: str, received: bytes, body: bytes) -> bool:
        """The signature is over the bytes as received. A sender that compresses after signing, as middleware does,
        is believed as well: without a signing key nobody makes a signature of either."""
        return signature.matches(source.signers, timestamp, given, received) or (
            body is not received and signature.matches(source.signers, timestamp, given, body)
        )

    def _publish(
        self,
        source: Source,
        body: bytes,
        timestamp: str | None,
        content_type: str | None,
        trace: str | None,
        begun: float,
    ) -> "asyncio.Future[Outcome]":
        identity = identify(body)
        headers: RecordHeaders = [
            (record.SOURCE, source.name_bytes),
            (record.EVENT_ID, identity.event_id.encode()),
        ]
        if timestamp is not None and signature.is_timestamp(timestamp):
            headers.append((record.REQUEST_TIMESTAMP, timestamp.encode()))
        if content_type is not None and not is_json(content_type) and len(content_type) <= LONGEST_CONTENT_TYPE:
            headers.append((record.CONTENT_TYPE, content_type.encode()))
        if trace is not None and traceparent.valid(trace):
            headers.append((record.TRACEPARENT, trace.encode()))
        now_ms = time.time_ns() // 1_000_000
        return self._publisher.publish(identity.person, body, headers, now_ms, begun + self._deadline_s)


def _may_have_more(headers: "RequestHeaders") -> bool:
    """Of its body. A client that asked for leave first (`Expect: 100-continue`) does not send after a refusal."""
    return "expect" not in headers and ("transfer-encoding" in headers or headers.get("content-length", "0") != "0")


def is_json(content_type: str) -> bool:
    """Whether a Content-Type is `application/json`, with parameters or without."""
    return content_type == "application/json" or content_type.partition(";")[0].strip().lower() == "application/json"


def _place(error: BaseException) -> str:
    """Where it was raised. Its message may quote what the request held, so that is not logged."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{PurePath(frame.filename).name}:{frame.lineno}"
