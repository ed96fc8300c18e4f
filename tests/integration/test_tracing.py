"""Traces of the endpoint, sent to a collector that reads OpenTelemetry's own protocol."""

import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.endpoint import BODY, endpoint, records, signature
from tests.kafka import Kafka, TopicMaker

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


class Collector(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.spans: list[Any] = []


class _Handler(BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        export = ExportTraceServiceRequest.FromString(self.rfile.read(int(self.headers["Content-Length"])))
        for resource in export.resource_spans:
            for scope in resource.scope_spans:
                self.server.spans += scope.spans
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None: ...


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_a_request_has_a_span_whose_context_goes_on_in_the_record(
    kafka: Kafka, make_topics: TopicMaker, tmp_path: Path, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{collector.server_address[1]}")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "none")
    topic = make_topics.one()
    with endpoint(tmp_path, kafka.bootstrap_servers, topic) as service:
        taken = service.post(headers={**signature(BODY), "traceparent": f"00-{TRACE}-{SPAN}-01"})
        refused = service.post(headers={})
        assert (taken.status, refused.status) == (200, 401)
        assert service.stop() == 0

    by_status = {
        attribute.value.int_value: span
        for span in collector.spans
        for attribute in span.attributes
        if attribute.key == "http.response.status_code"
    }
    span = by_status[200]
    assert (span.name, span.trace_id.hex(), span.parent_span_id.hex()) == ("webhook", TRACE, SPAN)
    (record,) = records(kafka.bootstrap_servers, topic)
    assert dict(record.headers)["traceparent"] == f"00-{TRACE}-{span.span_id.hex()}-01".encode()
    assert by_status[401].parent_span_id == b""
    texts = {attribute.value.string_value for span in collector.spans for attribute in span.attributes}
    assert texts - {""} <= {"signed", "ok", "bad_signature"}


def test_without_a_collector_nothing_of_it_is_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    from ingest.tracing import VARIABLES, provider

    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    assert not any(name in os.environ for name in VARIABLES)
    assert provider() is None
