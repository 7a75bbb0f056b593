"""Spans on their way to an OpenTelemetry collector, over OTLP/HTTP (the extra `holdgate[tracing]`).

Loaded only where an endpoint is set. What always holds: spans wait in a bounded queue and are sent by a thread of its
own; a collector that is away costs spans, and nothing else; what becomes of them is counted.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
from collections.abc import Sequence
from importlib.metadata import version

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags

from holdgate.kernel import metrics
from holdgate.kernel.tracing import Collector, Context, Kind, Sampler, Span, set_sink

QUEUE_SPANS_MAX = 8_192
BATCH_SPANS_MAX = 512
SEND_EVERY_MS = 1_000
TIMEOUT_S = 5.0
STOP_S = 1.0
_KINDS = {kind: SpanKind[kind.name] for kind in Kind}
_SCOPE = InstrumentationScope("holdgate")


class Export:
    """Sends the spans of this process, from its making until `stop`."""

    def __init__(self, collector: Collector, service: str) -> None:
        exporter = OTLPSpanExporter(
            endpoint=f"{collector.endpoint.rstrip('/')}/v1/traces",
            headers=collector.pairs(),
            timeout=TIMEOUT_S,
        )
        self._resource = Resource.create(
            {
                "service.name": f"holdgate-{service}",
                "service.instance.id": f"{socket.gethostname()}:{os.getpid()}",
                "service.version": version("holdgate"),
            }
        )
        self._processor = BatchSpanProcessor(
            _Counted(exporter),
            max_queue_size=QUEUE_SPANS_MAX,
            schedule_delay_millis=SEND_EVERY_MS,
            max_export_batch_size=BATCH_SPANS_MAX,
        )
        logging.getLogger("opentelemetry").setLevel(
            logging.CRITICAL
        )  # a collector away is a metric, not a log a second
        set_sink(self._take, Sampler(collector.ratio))

    def stop(self) -> None:
        """Take no more, and send what waits, for a moment: a collector that hangs holds nobody. Idempotent."""
        set_sink(None)
        ending = threading.Thread(target=self._processor.shutdown, daemon=True)
        ending.start()
        ending.join(STOP_S)

    def _take(self, span: Span) -> None:
        metrics.SPANS.labels("made").inc()
        self._processor.on_end(_readable(span, self._resource))


class _Counted(SpanExporter):
    """Counts what was sent and what was not."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send them."""
        result = self._exporter.export(spans)
        metrics.SPANS.labels("sent" if result is SpanExportResult.SUCCESS else "failed").inc(len(spans))
        return result

    def shutdown(self) -> None:
        """Send no more."""
        self._exporter.shutdown()


def _readable(span: Span, resource: Resource) -> ReadableSpan:
    return ReadableSpan(
        name=span.name,
        context=_context(span.parent.trace_id, span.span_id, is_remote=False),
        parent=_above(span.parent),
        resource=resource,
        attributes=dict(span.attributes),
        links=() if span.link is None or span.link.span_id is None else (_link(span.link, span.link.span_id),),
        kind=_KINDS[span.kind],
        status=Status(StatusCode.UNSET) if span.code is None else Status(StatusCode.ERROR, span.code),
        start_time=span.start_ns,
        end_time=span.end_ns,
        instrumentation_scope=_SCOPE,
    )


def _above(parent: Context) -> SpanContext | None:
    return None if parent.span_id is None else _context(parent.trace_id, parent.span_id, is_remote=True)


def _link(to: Context, span_id: str) -> Link:
    return Link(_context(to.trace_id, span_id, is_remote=True))


def _context(trace_id: str, span_id: str, *, is_remote: bool) -> SpanContext:
    return SpanContext(int(trace_id, 16), int(span_id, 16), is_remote, TraceFlags(TraceFlags.SAMPLED))
