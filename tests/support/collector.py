"""A small OTLP/HTTP receiver: it keeps the spans that an exporter sends to 127.0.0.1."""

import gzip
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


@dataclass(frozen=True, slots=True)
class Spanned:
    """One span as it came over the wire; ids in hexadecimal."""

    name: str
    kind: int
    trace_id: str
    span_id: str
    parent_id: str
    failed: bool
    attributes: dict[str, Any]
    resource: dict[str, Any]


@dataclass(slots=True)
class Collector:
    """Where to export to, and what has arrived."""

    endpoint: str
    spans: list[Spanned] = field(default_factory=list)
    points: dict[tuple[str, ...], int] = field(default_factory=dict)
    """The last value of each sum and gauge, by its name and its attributes' values."""
    paths: set[str] = field(default_factory=set)

    def named(self, name: str) -> list[Spanned]:
        """The spans of one name."""
        return [span for span in self.spans if span.name == name]


@contextmanager
def collecting() -> Iterator[Collector]:
    """Listen on a free port of 127.0.0.1 for the block."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            collector.paths.add(self.path)
            if self.path == "/v1/traces":
                collector.spans.extend(_spans(body))
            else:
                collector.points.update(_points(body))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is inherited
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        collector = Collector(f"http://127.0.0.1:{server.server_address[1]}")
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield collector
        finally:
            server.shutdown()
            thread.join()


def _points(body: bytes) -> Iterator[tuple[tuple[str, ...], int]]:
    request = ExportMetricsServiceRequest.FromString(body)
    for resource in request.resource_metrics:
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                for point in (*metric.sum.data_points, *metric.gauge.data_points):
                    values = (attribute.value.string_value for attribute in point.attributes)
                    yield (metric.name, *values), point.as_int


def _spans(body: bytes) -> Iterator[Spanned]:
    request = ExportTraceServiceRequest.FromString(body)
    for resource in request.resource_spans:
        about = _attributes(resource.resource.attributes)
        for scope in resource.scope_spans:
            for span in scope.spans:
                yield Spanned(
                    span.name, span.kind, span.trace_id.hex(), span.span_id.hex(), span.parent_span_id.hex(),
                    span.status.code == span.status.STATUS_CODE_ERROR, _attributes(span.attributes), about,
                )  # fmt: skip


def _attributes(pairs: Any) -> dict[str, Any]:
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in pairs}
