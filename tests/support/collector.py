"""An OTLP/HTTP receiver that keeps what is sent to it: how a test sees the spans of other processes."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from google.protobuf.json_format import MessageToDict
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


@dataclass(frozen=True)
class Received:
    """One span as it came."""

    service: str
    name: str
    trace_id: str
    span_id: str
    parent_id: str
    attributes: dict[str, Any]
    raw: dict[str, Any]


@dataclass
class Spans:
    """All spans so far, and the headers of the latest request."""

    url: str
    headers: dict[str, str] = field(default_factory=dict)
    bodies: list[bytes] = field(default_factory=list)

    def all(self) -> list[Received]:
        """In the order in which they came."""
        return [span for body in self.bodies for span in _spans(body)]

    def of(self, trace_id: str) -> list[Received]:
        """Those of one trace."""
        return [span for span in self.all() if span.trace_id == trace_id]


@contextlib.contextmanager
def collecting_spans() -> Iterator[Spans]:
    """A receiver on a free port until the end of the block."""
    spans = Spans("")

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            spans.headers = {name.lower(): value for name, value in self.headers.items()}
            if self.path == "/v1/traces":
                spans.bodies.append(body)
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Nothing on standard error."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    spans.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield spans
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _spans(body: bytes) -> Iterator[Received]:
    request = ExportTraceServiceRequest()
    request.ParseFromString(body)
    for resource in request.resource_spans:
        told = {item.key: item.value.string_value for item in resource.resource.attributes}
        for scope in resource.scope_spans:
            for span in scope.spans:
                raw = MessageToDict(span)
                yield Received(
                    service=told["service.name"],
                    name=span.name,
                    trace_id=span.trace_id.hex(),
                    span_id=span.span_id.hex(),
                    parent_id=span.parent_span_id.hex(),
                    attributes={item["key"]: next(iter(item["value"].values())) for item in raw.get("attributes", [])},
                    raw=raw,
                )
