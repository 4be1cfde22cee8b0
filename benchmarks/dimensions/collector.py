"""A small OTLP collector in a process of its own: it takes what is exported, and counts spans when asked.

Usage: collector.py      prints its port, and ends when its input does
"""

import gzip
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

TRACES = "/v1/traces"
COUNT = "/count"


class Handler(BaseHTTPRequestHandler):
    """Keeps the requests as they came: to read them must cost nothing while something is measured."""

    protocol_version = "HTTP/1.1"
    kept: list[tuple[bytes, bool]]

    def do_POST(self) -> None:
        """Take an export."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == TRACES:
            self.kept.append((body, self.headers.get("Content-Encoding") == "gzip"))
        self._answer(b"")

    def do_GET(self) -> None:
        """Say how many spans have come since the last time."""
        kept, self.kept[:] = list(self.kept), []
        self._answer(
            str(sum(_spans(gzip.decompress(body) if packed else body) for body, packed in kept)).encode()
        )

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is inherited
        """Say nothing."""

    def _answer(self, text: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)


def _spans(body: bytes) -> int:
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    request = ExportTraceServiceRequest.FromString(body)
    return sum(len(scope.spans) for resource in request.resource_spans for scope in resource.scope_spans)


@dataclass(frozen=True, slots=True)
class Collector:
    """The running collector, seen by others."""

    endpoint: str
    pid: int

    def count(self) -> int:
        """How many spans have come since the last time, or since the start."""
        with urllib.request.urlopen(self.endpoint + COUNT, timeout=60) as answer:  # noqa: S310 - our own
            return int(answer.read())


@contextmanager
def collecting() -> Iterator[Collector]:
    """Run a collector for the block."""
    command = [sys.executable, __file__]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield Collector(f"http://127.0.0.1:{int(process.stdout.readline())}", process.pid)
        finally:
            process.stdin.close()


def main() -> None:
    """Listen on a free port of 127.0.0.1 until nobody holds our input."""
    Handler.kept = []
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        print(server.server_address[1], flush=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        sys.stdin.read()
        server.shutdown()


if __name__ == "__main__":
    main()
