"""Optional OpenTelemetry tracing: a span for each request, whose context goes on in the record's `traceparent`.

Tracing is on if OTEL_EXPORTER_OTLP_ENDPOINT or OTEL_EXPORTER_OTLP_TRACES_ENDPOINT is set. The SDK, which the extra
`tracing` installs, reads the other OTEL_… variables (sampling, the service's name, batching). If tracing is off, a
valid `traceparent` of the request goes on unchanged, and OpenTelemetry is not imported.

https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/
"""

import logging
import os
import threading
from typing import TYPE_CHECKING

import structlog

from runtime.errors import ConfigurationError

if TYPE_CHECKING:
    from granian._granian import RSGIHTTPProtocol as HTTPProtocol
    from granian.rsgi import Scope
    from opentelemetry.sdk.trace import TracerProvider

    from ingest.webhook import Webhook

log = structlog.get_logger()

VARIABLES = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")


CLOSE_TIMEOUT_S = 3.0
"""How long a service that ends waits for the collector. The SDK would wait for 30 s, and be killed."""


def make_provider() -> "TracerProvider | None":
    """Return what exports spans; None if tracing is off or OpenTelemetry is missing, which is logged.

    Raises ConfigurationError if the SDK refuses one of its variables.
    """
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
    logging.getLogger("opentelemetry.util.re").addFilter(_without_header)
    name = os.environ.get("OTEL_SERVICE_NAME", "sternpost-ingest")
    try:
        provider = TracerProvider(resource=Resource.create({"service.name": name}), shutdown_on_exit=False)
        provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    except Exception as error:  # of what kind depends on the variable
        there = sorted(name for name in os.environ if name.startswith("OTEL_"))
        raise ConfigurationError(
            f"OpenTelemetry refuses its settings: {str(error).rstrip('.')}; correct what is wrong in "
            f"{', '.join(there)}, or unset {' and '.join(VARIABLES)} to have no tracing"
        ) from None
    return provider


def _without_header(record: logging.LogRecord) -> bool:
    """Take out what the SDK quotes of OTEL_EXPORTER_OTLP_HEADERS if it cannot read it: collectors' keys are there."""
    record.args = ("…",)
    return True


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
        """Export the remaining spans if the collector takes them within `CLOSE_TIMEOUT_S`, else log that it did not."""
        export = threading.Thread(target=self._provider.shutdown, name="tracing", daemon=True)
        export.start()
        export.join(CLOSE_TIMEOUT_S)
        if export.is_alive():
            log.warning(
                "the last spans are lost: the collector did not take them in time; check OTEL_EXPORTER_OTLP_ENDPOINT",
                timeout_s=CLOSE_TIMEOUT_S,
            )
