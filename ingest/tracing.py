"""OpenTelemetry, where it is wanted: a span for each request, whose context goes on in the record's `traceparent`.

Wanted is where OpenTelemetry's own variable says where to: OTEL_EXPORTER_OTLP_ENDPOINT, or …_TRACES_ENDPOINT. The rest
of OTEL_… (sampling, the service's name, batching) is read by its SDK, which the extra `tracing` brings. Without all
that, a valid `traceparent` of the request goes on as it came, and nothing here is imported.
"""

import os
from typing import TYPE_CHECKING, Any

import structlog

from ingest import traceparent

if TYPE_CHECKING:
    from granian._granian import RSGIHTTPProtocol as HTTPProtocol
    from granian.rsgi import Scope
    from opentelemetry.sdk.trace import TracerProvider

    from ingest.webhook import Webhook

log = structlog.get_logger()

VARIABLES = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")


def provider() -> "TracerProvider | None":
    """What exports spans; None where that is not wanted, or cannot be had, which is said in the log."""
    if not any(os.environ.get(name) for name in VARIABLES):
        return None
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError:
        log.warning("no tracing: OpenTelemetry is not installed", hint="pip install 'sternpost[tracing]'")
        return None
    name = os.environ.get("OTEL_SERVICE_NAME", "sternpost-ingest")
    made = TracerProvider(resource=Resource.create({"service.name": name}))
    made.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return made


class TracingMiddleware:
    """The webhook with a span around each request."""

    def __init__(self, webhook: "Webhook", provider: "TracerProvider") -> None:
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self._webhook = webhook
        self._provider = provider
        self._tracer = provider.get_tracer("sternpost.ingest")
        self._propagator = TraceContextTextMapPropagator()

    async def __rsgi__(self, scope: "Scope", protocol: "HTTPProtocol") -> None:
        from opentelemetry.trace import SpanKind, set_span_in_context

        given: Any = scope.headers.get("traceparent")
        parent = self._propagator.extract({"traceparent": given} if given else {})
        with self._tracer.start_span("webhook", parent, SpanKind.SERVER) as span:
            carrier: dict[str, str] = {}
            self._propagator.inject(carrier, set_span_in_context(span))
            traceparent.of_span.set(carrier.get("traceparent"))
            source, answer = await self._webhook.handle(scope, protocol)
            span.set_attribute("http.response.status_code", answer.status)
            span.set_attribute("sternpost.source", source.name)
            span.set_attribute("sternpost.outcome", answer.outcome)

    def close(self) -> None:
        """Exports what is left, as far as that is possible."""
        self._provider.shutdown()
