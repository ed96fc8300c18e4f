"""Optional OpenTelemetry tracing: a span for each request, whose context goes on in the record's `traceparent`.

Tracing is on if OTEL_EXPORTER_OTLP_ENDPOINT or OTEL_EXPORTER_OTLP_TRACES_ENDPOINT is set. The SDK, which the extra
`tracing` installs, reads the other OTEL_… variables (sampling, the service's name, batching). If tracing is off, a
valid `traceparent` of the request goes on unchanged, and OpenTelemetry is not imported.

https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/
"""

import os
from typing import TYPE_CHECKING

import structlog

if TYPE_CHECKING:
    from granian._granian import RSGIHTTPProtocol as HTTPProtocol
    from granian.rsgi import Scope
    from opentelemetry.sdk.trace import TracerProvider

    from ingest.webhook import Webhook

log = structlog.get_logger()

VARIABLES = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")


def make_provider() -> "TracerProvider | None":
    """Return what exports spans; None if tracing is off or OpenTelemetry is missing, which is logged."""
    if not any(os.environ.get(name) for name in VARIABLES):
        return None
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415 (an extra)
        from opentelemetry.sdk.resources import Resource  # noqa: PLC0415 (an extra)
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415 (an extra)
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415 (an extra)
    except ImportError:
        log.warning("no tracing: OpenTelemetry is not installed", hint="pip install 'sternpost[tracing]'")
        return None
    name = os.environ.get("OTEL_SERVICE_NAME", "sternpost-ingest")
    provider = TracerProvider(resource=Resource.create({"service.name": name}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return provider


class TracingMiddleware:
    """The webhook application with a span around each request."""

    def __init__(self, webhook: "Webhook", provider: "TracerProvider") -> None:
        """Wrap `webhook`; `provider` exports the spans."""
        from opentelemetry.trace.propagation import tracecontext  # noqa: PLC0415 (an extra)

        self._webhook = webhook
        self._provider = provider
        self._tracer = provider.get_tracer("sternpost.ingest")
        self._propagator = tracecontext.TraceContextTextMapPropagator()

    async def __rsgi__(self, scope: "Scope", protocol: "HTTPProtocol") -> None:
        """Answer one request within a span."""
        from opentelemetry.trace import SpanKind, set_span_in_context  # noqa: PLC0415 (an extra)

        given = scope.headers.get("traceparent")
        parent = self._propagator.extract({"traceparent": given} if given else {})
        with self._tracer.start_span("webhook", parent, SpanKind.SERVER) as span:
            carrier: dict[str, str] = {}
            self._propagator.inject(carrier, set_span_in_context(span))
            source, response = await self._webhook.handle(scope, protocol, carrier.get("traceparent"))
            span.set_attribute("http.response.status_code", response.status)
            span.set_attribute("sternpost.source", source.name)
            span.set_attribute("sternpost.outcome", response.outcome)

    def close(self) -> None:
        """Export the remaining spans if the collector can be reached."""
        self._provider.shutdown()
