"""Mixer's HTTP API, and the page that Prometheus scrapes.

On a Unix socket that only the mesh's owner may use:

    POST /sync {spans: bool}     read all logs to their end -> records, forgotten, missing_spans
    GET  /graph?seconds=N        GET /traces?limit=N    GET /traces/ID    GET /records/ID
    *    /check/POD/PATH         may this request through? 200, or the answer that its sender gets
    POST /api/v2/spans           Zipkin's collector, to which the sidecars report
    GET  /ready

On 127.0.0.1 (and the Unix socket), in Prometheus' text format:

    GET  /metrics                all pods added up
    GET  /stats/prometheus/POD   one pod: Istio's metrics and its sidecar's own counters
    GET  /targets                Prometheus' service discovery (http_sd_configs): every pod
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from dataclasses import asdict
from http.client import HTTPException
from typing import Any

from tornado.httpclient import AsyncHTTPClient, HTTPClientError
from tornado.web import Application, HTTPError, RequestHandler

from mesh import unixhttp
from mesh.mixer.adapters import CODES
from mesh.mixer.exposition import CONTENT_TYPE
from mesh.mixer.report import Report
from mesh.mixer.spans import parse_spans
from mesh.mixer.workloads import Workload

PRINCIPAL_HEADER = "x-mixer-principal"
"""In which a sidecar tells whose certificate it saw."""
CLUSTER_HEADER = "x-mixer-cluster"
"""In which a gateway tells where the request's route leads."""
ADMIN_SECONDS = 5.0
"""For a sidecar's own statistics."""
SPANS_SECONDS = 5.0
"""How long a barrier waits for spans that the sidecars still hold (Envoy sends them every 0.2 s)."""


class Handler(RequestHandler):
    """What all paths share."""

    report: Report

    def initialize(self, report: Report) -> None:
        """Take the report."""
        self.report = report

    def answer(self, data: object) -> None:
        """Write JSON."""
        self.set_header("content-type", "application/json")
        self.write(json.dumps(data))

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Answer an error as JSON, without what tornado would tell of the inside."""
        cause = kwargs.get("exc_info", (None, None))[1]
        text = cause.log_message if isinstance(cause, HTTPError) else str(cause)
        self.answer({"error": text or f"status {status_code}"})

    def number(self, name: str, default: float) -> float:
        """Return a number of the query; 400 when it is none."""
        text = self.get_query_argument(name, str(default))
        try:
            return float(text)
        except ValueError:
            raise HTTPError(400, f"{name} has to be a number, not {text!r}") from None


class Ready(Handler):
    """GET /ready."""

    def get(self) -> None:
        """Say that Mixer works."""
        self.answer({"ready": True})


class Sync(Handler):
    """POST /sync."""

    async def post(self) -> None:
        """Read everything that the sidecars have written; with ``spans`` wait for those, too."""
        body = json.loads(self.request.body or b"{}")
        await self.report.read_logs()
        if body.get("spans"):
            await self.report.all_spans(SPANS_SECONDS)
        self.answer(
            {
                "records": self.report.read,
                "forgotten": self.report.forgotten,
                "missing_spans": self.report.missing_spans(),
            }
        )


class GraphOf(Handler):
    """GET /graph."""

    def get(self) -> None:
        """Return the service graph."""
        self.answer(self.report.graph(self.number("seconds", 0.0)).as_dict())


class Traces(Handler):
    """GET /traces and /traces/ID."""

    def get(self, name: str = "") -> None:
        """Return the newest traces, or those of an id."""
        store = self.report.traces
        found = store.get(name) if name else store.newest(int(self.number("limit", 20)))
        self.answer([each.as_dict() for each in found])


class Records(Handler):
    """GET /records/ID."""

    def get(self, name: str) -> None:
        """Return the kept access log records of a trace or request id."""
        self.answer([asdict(each) for each in self.report.records(name)])


class Entries(Handler):
    """GET /entries."""

    def get(self) -> None:
        """Return the kept lines of Mixer's own log, the oldest first."""
        self.answer(list(self.report.entries))


class Spans(Handler):
    """POST /api/v2/spans."""

    async def post(self) -> None:
        """Keep the spans of a sidecar, and pass them on where that is wanted."""
        try:
            spans = parse_spans(json.loads(self.request.body))
        except (ValueError, TypeError, AttributeError) as error:
            raise HTTPError(400, f"these are no spans: {error}") from None
        self.report.traces.add(spans)
        self.report.spans_came.set()
        self.set_status(202)
        self.finish()  # the sidecar does not wait for another collector
        if self.report.zipkin_url:
            await _pass_on(self.report.zipkin_url, self.request.body)


async def _pass_on(url: str, spans: bytes) -> None:
    """Give spans to another collector; one that is not there yet misses them."""
    headers = {"content-type": "application/json"}
    with contextlib.suppress(OSError, HTTPClientError):
        await AsyncHTTPClient().fetch(url, method="POST", body=spans, headers=headers)


class Check(Handler):
    """/check/POD/PATH, whatever the method: a sidecar asks before it lets a request through."""

    async def prepare(self) -> None:
        """Answer every method alike: 200 lets the request through, else this is its answer."""
        pod, _, rest = (self.request.uri or "").removeprefix("/check/").partition("/")
        headers = {name.lower(): value for name, value in self.request.headers.get_all()}
        principal = headers.pop(PRINCIPAL_HEADER, "").strip("-")
        cluster = headers.pop(CLUSTER_HEADER, "").strip("-")
        answer = self.report.check(
            pod, str(self.request.method), f"/{rest}", headers, principal, cluster
        )
        self.clear()
        self.clear_header("Server")  # the answer is the sidecar's: Envoy would hand it on
        self.set_header("content-type", "text/plain")
        self.set_status(CODES.get(answer.code, CODES[2])[1], "checked")
        self.finish(answer.text)


class Metrics(Handler):
    """GET /metrics."""

    async def get(self) -> None:
        """Return the metrics of all pods, added up."""
        await self.report.read_logs()
        self.set_header("content-type", CONTENT_TYPE)
        self.write(self.report.metrics())


class PodStats(Handler):
    """GET /stats/prometheus/POD, as istio-agent's port 15020 has it."""

    async def get(self, pod: str) -> None:
        """Return Istio's metrics of a pod, then what its sidecar counts itself."""
        workload = self.report.workloads.of_pod(pod)
        if workload.pod != pod or not workload.admin_port:
            raise HTTPError(404, f'no pod "{pod}" with a sidecar')
        await self.report.read_logs()
        self.set_header("content-type", CONTENT_TYPE)
        self.write(self.report.metrics(pod))
        try:
            self.write(await _own_stats(workload))
        except (OSError, HTTPException) as error:
            raise HTTPError(502, f"the sidecar of {pod} does not answer: {error}") from None


async def _own_stats(workload: Workload) -> bytes:
    """Return what a sidecar counts.  Raises OSError or HTTPException without an answer."""
    path = "/stats/prometheus"
    if workload.admin_socket:
        answer = await asyncio.to_thread(
            unixhttp.ask, workload.admin_socket, "GET", path, None, ADMIN_SECONDS
        )
        return answer[1]
    url = f"http://127.0.0.1:{workload.admin_port}{path}"
    return bytes((await AsyncHTTPClient().fetch(url, request_timeout=ADMIN_SECONDS)).body)


class Targets(Handler):
    """GET /targets."""

    def get(self) -> None:
        """Return a target for every running sidecar, with the labels that Istio's set-up gives."""
        workloads = self.report.workloads
        self.answer(
            [
                {
                    "targets": [self.request.host],
                    "labels": {
                        "__metrics_path__": f"/stats/prometheus/{each.pod}",
                        "pod": each.pod,
                        "namespace": each.namespace,
                        "app": each.app,
                    },
                }
                for each in sorted(workloads.all(), key=lambda each: each.pod)
                if each.admin_port and each.pod in workloads.running
            ]
        )


PUBLIC: list[tuple[str, type[Handler]]] = [
    (r"/metrics", Metrics),
    (r"/stats/prometheus/([^/]+)", PodStats),
    (r"/targets", Targets),
]
PRIVATE: list[tuple[str, type[Handler]]] = [
    *PUBLIC,
    (r"/ready", Ready),
    (r"/sync", Sync),
    (r"/graph", GraphOf),
    (r"/traces", Traces),
    (r"/traces/([^/]+)", Traces),
    (r"/records/([^/]+)", Records),
    (r"/entries", Entries),
    (r"/api/v2/spans", Spans),
    (r"/check/.*", Check),
]


def application(report: Report, paths: list[tuple[str, type[Handler]]]) -> Application:
    """Return the tornado application of these paths."""
    return Application(
        [(path, handler, {"report": report}) for path, handler in paths], log_function=_quiet
    )


def _quiet(handler: RequestHandler) -> None:
    """Write no access log."""
