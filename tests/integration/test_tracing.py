"""Traces of the endpoint, sent to a collector that reads OpenTelemetry's own protocol."""

import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from ingest.tracing import VARIABLES, make_provider
from runtime.errors import ConfigurationError
from tests.support.endpoint import BODY, endpoint, records, signature
from tests.support.kafka import Kafka, TopicMaker
from tests.support.receiver import Receiver, receiving
from tests.support.waiting import PATIENCE_S

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@pytest.fixture
def collector() -> Iterator[Receiver]:
    with receiving() as server:
        yield server


def spans(collector: Receiver) -> list[Any]:
    exports = [ExportTraceServiceRequest.FromString(body) for _, _, body in collector.requests]
    return [
        span
        for export in exports
        for resource in export.resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]


def test_a_request_has_a_span_whose_context_goes_on_in_the_record(
    kafka: Kafka, make_topics: TopicMaker, tmp_path: Path, collector: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "none")
    topic = make_topics.one()
    with endpoint(tmp_path, kafka.bootstrap_servers, topic) as service:
        taken = service.post(headers={**signature(BODY), "traceparent": f"00-{TRACE}-{SPAN}-01"})
        refused = service.post(headers={})
        assert (taken.status, refused.status) == (200, 401)
        assert service.stop() == 0

    by_status = {
        attribute.value.int_value: span
        for span in spans(collector)
        for attribute in span.attributes
        if attribute.key == "http.response.status_code"
    }
    span = by_status[200]
    assert (span.name, span.trace_id.hex(), span.parent_span_id.hex()) == ("webhook", TRACE, SPAN)
    (record,) = records(kafka.bootstrap_servers, topic)
    assert dict(record.headers)["traceparent"] == f"00-{TRACE}-{span.span_id.hex()}-01".encode()
    assert by_status[401].parent_span_id == b""
    texts = {attribute.value.string_value for span in spans(collector) for attribute in span.attributes}
    assert texts - {""} <= {"signed", "ok", "bad_signature"}


def test_a_collector_that_does_not_answer_does_not_hold_up_the_end(
    kafka: Kafka, make_topics: TopicMaker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{silent.getsockname()[1]}")
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "600000")  # the first time that it is asked is the end
        with endpoint(tmp_path, kafka.bootstrap_servers, make_topics.one()) as service:
            assert service.post().status == 200
            assert service.stop() == 0
            silent.settimeout(PATIENCE_S)
            silent.accept()[0].close()  # it was asked
            assert any(line["event"].startswith("the last spans are lost") for line in service.log())


@pytest.mark.parametrize(
    "variable",
    [
        "OTEL_BSP_MAX_QUEUE_SIZE=256",
        "OTEL_BSP_MAX_EXPORT_BATCH_SIZE=4096",
        "OTEL_BSP_SCHEDULE_DELAY=-1",
        "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT=x",
        "OTEL_PYTHON_EXPORTER_OTLP_HTTP_TRACES_CREDENTIAL_PROVIDER=x",
    ],
)
def test_a_variable_that_opentelemetry_refuses_is_named(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    name, _, value = variable.partition("=")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigurationError, match=f"correct what is wrong in .*{name}.*, or unset"):
        make_provider()


def test_a_collectors_key_is_not_logged_however_it_is_written(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "authorization: Basic s3cret")
    provider = make_provider()
    assert provider is not None
    threading.Thread(target=provider.shutdown, daemon=True).start()  # it has nothing to export
    assert "Header format invalid" in caplog.text
    assert "s3cret" not in caplog.text


def test_a_service_with_such_a_variable_ends(
    kafka: Kafka, make_topics: TopicMaker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "0")
    with endpoint(tmp_path, kafka.bootstrap_servers, make_topics.one(), wait=False) as service:
        assert service.process.wait(PATIENCE_S) == 78


def test_without_a_collector_nothing_of_it_is_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    assert not any(name in os.environ for name in VARIABLES)
    assert make_provider() is None
