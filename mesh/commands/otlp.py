"""Export of traces by OTLP/HTTP, to Jaeger or whatever else the user runs.

OpenTelemetry's own SDK writes them; it is not part of what the labs need, so it is imported only
here and installed only when somebody asks (requirements group ``otlp``).
Source: OpenTelemetry, "OTLP/HTTP"; Zipkin's kinds and tags by OpenTelemetry's mapping.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from mesh.commands.errors import UserError

if TYPE_CHECKING:
    from mesh.mixer.spans import Span, Trace

PATH = "/v1/traces"


def export(url: str, traces: Sequence[Trace]) -> None:
    """Send all spans; UserError when the SDK is missing or the collector does not take them."""
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.trace.export import SpanExportResult
    except ImportError:
        raise UserError(
            "sending traces needs OpenTelemetry: install it with `sh scripts/bootstrap.sh otlp`"
        ) from None
    endpoint = url if url.rstrip("/").endswith(PATH) else url.rstrip("/") + PATH
    exporter = OTLPSpanExporter(endpoint=endpoint, timeout=10)
    # A collector that is away is said below, in one sentence; the SDK writes five lines for it.
    logging.getLogger("opentelemetry.exporter").setLevel(logging.CRITICAL)
    spans = [readable(span) for trace in traces for span in trace.spans]
    try:
        result = exporter.export(spans)
    finally:
        exporter.shutdown()  # type: ignore[no-untyped-call]
    if result is not SpanExportResult.SUCCESS:
        raise UserError(f"the collector at {endpoint} did not take the spans: is it running there?")


def readable(span: Span) -> Any:
    """Return ``span`` as the SDK's ReadableSpan, with its own ids and times."""
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags

    def context(span_id: str, remote: bool) -> SpanContext:
        flags = TraceFlags(TraceFlags.SAMPLED)
        return SpanContext(int(span.trace_id, 16), int(span_id, 16), remote, flags)

    kinds = {"CLIENT": SpanKind.CLIENT, "SERVER": SpanKind.SERVER}
    return ReadableSpan(
        name=span.name,
        context=context(span.id, False),
        parent=context(span.parent_id, True) if span.parent_id else None,
        resource=Resource({"service.name": span.service, "k8s.pod.name": span.pod}),
        attributes=dict(span.tags),
        kind=kinds.get(span.kind, SpanKind.INTERNAL),
        status=Status(StatusCode.ERROR if span.error else StatusCode.UNSET),
        start_time=span.start * 1000,
        end_time=(span.start + span.duration) * 1000,
    )
