"""Export of traces, to a collector that reads OTLP itself."""

from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest

from mesh.commands.errors import UserError
from mesh.commands.otlp import export
from mesh.mixer.spans import Span, Trace

pytest.importorskip(
    "opentelemetry.exporter.otlp.proto.http", reason="the group otlp is not installed"
)
TRACE = Trace(
    "ab".rjust(32, "0"),
    (
        Span("ab".rjust(32, "0"), "1".rjust(16, "0"), "", "a", "CLIENT", "s", "p", 5, 7),
        Span(
            "ab".rjust(32, "0"),
            "2".rjust(16, "0"),
            "1".rjust(16, "0"),
            "b",
            "SERVER",
            "s",
            "p",
            6,
            3,
            {"error": "true", "http.status_code": "503"},
        ),
    ),
)


@pytest.fixture
def collector() -> Iterator[tuple[str, list[bytes]]]:
    got: list[bytes] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append(self.rfile.read(int(self.headers["content-length"])))
            self.send_response(200 if self.path == "/v1/traces" else 404)
            self.end_headers()

        def log_message(self, *args: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", got
    server.shutdown()
    thread.join()
    server.server_close()


def test_ids_times_and_errors_arrive(collector: tuple[str, list[bytes]]) -> None:
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    url, got = collector
    export(url, [TRACE])
    request = ExportTraceServiceRequest.FromString(got[0])
    spans = [s for r in request.resource_spans for scope in r.scope_spans for s in scope.spans]
    assert [(s.span_id.hex(), s.parent_span_id.hex()) for s in spans] == [
        ("1".rjust(16, "0"), ""),
        ("2".rjust(16, "0"), "1".rjust(16, "0")),
    ]
    assert (spans[0].start_time_unix_nano, spans[0].end_time_unix_nano) == (5_000, 12_000)
    assert [s.status.code for s in spans] == [0, 2]


def test_a_collector_that_refuses(
    collector: tuple[str, list[bytes]], caplog: pytest.LogCaptureFixture
) -> None:
    url, _ = collector
    with pytest.raises(UserError, match="did not take the spans"):
        export(f"{url}/elsewhere", [TRACE])
    assert caplog.messages == []  # one sentence, and not the SDK's log beside it
