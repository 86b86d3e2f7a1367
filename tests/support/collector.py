"""An OpenTelemetry collector: a real HTTP server that takes spans by OTLP."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from tests.support.eventually import eventually


@dataclass(frozen=True)
class Span:
    """A span as it came, its ids in hex."""

    service: str
    name: str
    kind: int
    trace_id: str
    span_id: str
    parent_id: str
    attributes: dict[str, Any]


class Collector:
    """Use it in a `with`; `environment` is what has a process send its spans here."""

    def __init__(self) -> None:
        self._spans: list[Span] = []
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                assert self.path == "/v1/traces"
                collector.take(self.rfile.read(int(self.headers["Content-Length"])))
                self.send_response(200)
                self.send_header("Content-Type", "application/x-protobuf")
                self.end_headers()
                self.wfile.write(ExportTraceServiceResponse().SerializeToString())

            def log_message(self, *_arguments: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self.environment = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{self._server.server_port}",
            "OTEL_BSP_SCHEDULE_DELAY": "100",  # milliseconds
        }

    def take(self, body: bytes) -> None:
        """Decode what was sent."""
        for of_resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            service = _values(of_resource.resource.attributes)["service.name"]
            for scope in of_resource.scope_spans:
                for span in scope.spans:
                    self._spans.append(
                        Span(
                            service,
                            span.name,
                            span.kind,
                            span.trace_id.hex(),
                            span.span_id.hex(),
                            span.parent_span_id.hex(),
                            _values(span.attributes),
                        )
                    )

    def spans(self, trace_id: str | None = None) -> list[Span]:
        """Return the spans so far; of one trace, where given."""
        return [span for span in list(self._spans) if trace_id in (None, span.trace_id)]

    def wait(self, name: str, count: int = 1, trace_id: str | None = None) -> list[Span]:
        """Return the spans of a name, once there are so many."""

        def found() -> list[Span]:
            named = [span for span in self.spans(trace_id) if span.name == name]
            return named if len(named) >= count else []

        return eventually(found)

    def __enter__(self) -> Collector:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._server.shutdown()
        self._server.server_close()


def _values(attributes: Any) -> dict[str, Any]:
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in attributes}
