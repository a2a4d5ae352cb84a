"""Report: from access log records to metrics, graph and the newest records, in bounded memory.

What Mixer's report was in a real mesh, fed by the access logs.  Counts are complete for ever; of
the records themselves only the newest ``KEPT`` stay, the oldest go first and are counted.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from mesh.accesslog import PEER_HEADER, AccessLogRecord, parse_record
from mesh.istio import era, load_text
from mesh.mixer.adapters import FOLDER_VARIABLE
from mesh.mixer.attributes import at_gateway, of_record, of_request
from mesh.mixer.exchange import Parties, Resolver
from mesh.mixer.follow import Followers
from mesh.mixer.graph import Graph, GraphStore
from mesh.mixer.policy import Answer, Policy
from mesh.mixer.request_id import certain, without_reason
from mesh.mixer.spans import TraceStore
from mesh.mixer.standard_metrics import MAX_SERIES, Labels, Meter, merge
from mesh.mixer.telemetry import TelemetryMetrics
from mesh.mixer.workloads import Workloads

KEPT = 20_000
"""Records that are kept one by one, some 1 kB each."""
KEPT_ENTRIES = 5_000
"""Lines of Mixer's own log (``stdio``) that are kept; the oldest go first."""
_UUID = 36
_SAMPLED = "9ab"
"""Envoy notes its decision to trace in the request id, where version 4 has its 4."""


def sampled(record: AccessLogRecord) -> bool:
    """Whether the sidecar made a span of this request."""
    if not record.trace_id:
        return False
    if record.b3_sampled:
        return record.b3_sampled == "1"
    if record.traceparent and not record.b3_trace_id:
        return record.traceparent.endswith("1")
    return len(record.request_id) == _UUID and record.request_id[14] in _SAMPLED


def is_request(record: AccessLogRecord) -> bool:
    """Tell a request from a TCP connection, and from the CONNECT that only opens a tunnel."""
    if record.method == "CONNECT":
        return False
    return bool(record.method or record.response_code)


def moment_of(record: AccessLogRecord) -> float:
    """Return when the request began, in seconds since 1970; 0.0 when the log does not say."""
    try:
        return datetime.fromisoformat(record.start_time).timestamp()
    except ValueError:
        return 0.0


@dataclass(frozen=True, slots=True)
class PodSink:
    """Takes what adapters make of the records of one pod."""

    owner: Report
    pod: str

    def add(
        self,
        name: str,
        labels: Mapping[str, str],
        value: float,
        kind: str,
        buckets: tuple[float, ...],
    ) -> None:
        """Add to a metric of the pod."""
        self.owner.meter.custom(self.pod, name, tuple(labels.items()), value, kind, buckets)

    def write(self, line: str) -> None:
        """Keep a line of Mixer's own log."""
        self.owner.entries.append(line)


def _files(folder: str) -> list[tuple[str, int]]:
    """Return the adapters of a folder with the time of their last change: a new one is loaded anew."""
    if not folder:
        return []
    return sorted((each.name, each.stat().st_mtime_ns) for each in Path(folder).glob("*.py"))


class Report:
    """All that is known of a mesh's traffic; ``zipkin_url``: where spans are passed on to as well."""

    def __init__(self, kept: int = KEPT, max_series: int = MAX_SERIES) -> None:
        self.workloads = Workloads()
        self.traces = TraceStore()
        self.meter = Meter(max_series)
        self.read = 0
        self.unreadable = 0
        self.expected_spans: Counter[str] = Counter()
        self._resolver = Resolver(self.workloads)
        self._graph = GraphStore()
        self._newest: deque[tuple[str, bytes]] = deque(maxlen=kept)
        self._followers = Followers()
        self._reading = asyncio.Lock()
        self._applied: object = ([], [])
        self.spans_came = asyncio.Event()
        self.policy = Policy([], time.monotonic)
        self.telemetry = TelemetryMetrics()
        self.entries: deque[str] = deque(maxlen=KEPT_ENTRIES)
        self.zipkin_url = ""

    @property
    def forgotten(self) -> int:
        """How many records are not kept one by one any more."""
        return self.read - len(self._newest)

    def update(self, state: dict[str, Any]) -> None:
        """Take over the state of the mesh.  PolicyError for rules that cannot be executed."""
        self.workloads.update(state)
        self._resolver.forget()
        texts = [(each["file"], each["text"], each["namespace"]) for each in state["resources"]]
        folder = os.environ.get(FOLDER_VARIABLE, "")
        applied = texts, _files(folder)
        if applied == self._applied:
            return
        release = era(state["era"])
        resources = [
            resource
            for file, text, namespace in texts
            for resource in load_text(text, file, era=release, namespace=namespace).resources
        ]
        self.policy = Policy(resources, time.monotonic, folder)
        self.telemetry = TelemetryMetrics(resources)
        self._applied = applied

    def check(
        self,
        pod: str,
        method: str,
        path: str,
        headers: Mapping[str, str],
        principal: str,
        cluster: str = "",
    ) -> Answer:
        """Judge a request that has come to the sidecar of ``pod``.

        At a gateway ``cluster`` is where its route leads.
        """
        destination = self.workloads.of_pod(pod)
        if destination.kind == "router":
            service = cluster.rpartition("|")[2] if cluster.startswith("outbound|") else ""
            return self.policy.check(
                at_gateway(destination, service, method, path, headers, bool(principal))
            )
        source = self.workloads.sender(headers.get(PEER_HEADER, ""), principal)
        shown = {name: value for name, value in headers.items() if name != PEER_HEADER}
        return self.policy.check(
            of_request(source, destination, method, path, shown, bool(principal))
        )

    def take(self, pod: str, line: bytes) -> None:
        """Count one line of ``pod``'s access log; one that is no record is counted apart."""
        try:
            record = parse_record(pod, line.decode("utf-8", "replace"))
        except ValueError:
            self.unreadable += 1
            return
        self.read += 1
        self._newest.append((pod, line))
        if not is_request(record):
            return
        parties = self._resolver.parties(record)
        self._meter(record, parties)
        self._graph.add(record, parties, moment_of(record))
        if sampled(record):
            self.expected_spans[pod] += 1

    def _meter(self, record: AccessLogRecord, parties: Parties) -> None:
        """Count a record into metrics: Istio's, as Telemetry changes them, and Mixer's own."""
        rules = self.telemetry.rules(self.workloads.of_pod(record.pod))
        if rules is None and not self.policy.reports:
            self.meter.count(record, parties)
            return
        attributes = of_record(record, parties)
        if rules is None:
            self.meter.count(record, parties)
        else:
            made, reporter = rules, parties.reporter

            def change(name: str, labels: Labels) -> Labels | None:
                return made.change(name, labels, reporter, attributes)

            self.meter.count(record, parties, change)
        if self.policy.reports:
            self.policy.report(attributes, PodSink(self, record.pod))

    async def read_logs(self) -> None:
        """Read what is new in the logs of all pods; others have their turn between two pieces."""
        async with self._reading:
            for workload in list(self.workloads.all()):
                if not workload.log:
                    continue
                for lines in self._followers.of(workload.log).lines():
                    for line in lines:
                        self.take(workload.pod, line)
                    await asyncio.sleep(0)

    async def all_spans(self, timeout: float) -> int:
        """Wait until a span has come for every sampled record; return how many are missing.

        A pod that is gone sends none any more: nobody waits for it.
        """
        try:
            async with asyncio.timeout(timeout):
                while self.missing_spans():
                    self.spans_came.clear()
                    await self.spans_came.wait()
        except TimeoutError:
            pass
        return self.missing_spans()

    def missing_spans(self) -> int:
        """Count the spans of running pods that are expected and have not come."""
        running, received = self.workloads.running, self.traces.received
        return sum(
            max(count - received[pod], 0)
            for pod, count in self.expected_spans.items()
            if pod in running
        )

    def graph(self, seconds: float = 0.0) -> Graph:
        """Return the service graph of the last ``seconds``; 0: of all time."""
        return self._graph.graph(seconds, self.read, self.forgotten)

    def records(self, trace: str) -> list[AccessLogRecord]:
        """Return the kept records of a trace id or an ``x-request-id``, by time."""
        wanted = certain(trace).encode("utf-8", "replace")
        found = [
            parse_record(pod, line.decode("utf-8", "replace"))
            for pod, line in self._newest
            if wanted in line
        ]
        request = without_reason(trace)
        chosen = [
            each
            for each in found
            if each.trace_id == trace or without_reason(each.request_id) == request
        ]
        return sorted(chosen, key=lambda each: (each.start_time, -each.duration))

    def metrics(self, pod: str = "") -> bytes:
        """Return the metrics of one pod, or of all, in Prometheus' format."""
        from mesh.mixer import exposition

        chosen = [self.meter.pods[pod]] if pod in self.meter.pods else []
        if not pod:
            chosen = list(self.meter.pods.values())
        own = {
            "mixer_records": ("Access log records that were read.", float(self.read)),
            "mixer_records_forgotten": ("Records not kept any more.", float(self.forgotten)),
            "mixer_samples_dropped": ("Samples beyond the limit.", float(self.meter.dropped)),
        }
        return exposition.text(merge(chosen), {} if pod else own)
