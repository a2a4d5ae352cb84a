"""Istio's standard metrics, computed from access log records by one code path for both engines.

``istio_requests_total`` counts requests, ``istio_request_duration_milliseconds``,
``istio_request_bytes`` and ``istio_response_bytes`` are histograms; all have the same labels.
A Telemetry resource (``spec.metrics``) turns them off and changes labels.
See them with ``meshctl top`` or at the ``/metrics`` that ``meshctl status`` names.

Sources: Istio, "Istio Standard Metrics" (reference/config/metrics); istio/proxy ``istio_stats.cc``
(labels, ``unknown``); Envoy's default histogram buckets.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from mesh.accesslog import AccessLogRecord
from mesh.mixer.exchange import Parties
from mesh.mixer.workloads import NOBODY, UNKNOWN, Workload

REQUESTS = "istio_requests_total"
DURATION = "istio_request_duration_milliseconds"
REQUEST_BYTES = "istio_request_bytes"
RESPONSE_BYTES = "istio_response_bytes"
HISTOGRAMS = (DURATION, REQUEST_BYTES, RESPONSE_BYTES)
HELP = {
    REQUESTS: "Requests, counted by the sidecar of the reporter.",
    DURATION: "Duration of requests in milliseconds.",
    REQUEST_BYTES: "Size of request bodies in bytes.",
    RESPONSE_BYTES: "Size of response bodies in bytes.",
}
BUCKETS = (
    *(0.5, 1, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000, 30000, 60000),
    *(300000, 600000, 1800000, 3600000),
)

_SIDE = ("workload", "workload_namespace", "principal", "app", "version")
_SIDE_LATER = ("canonical_service", "canonical_revision", "cluster")
LABELS = (
    "reporter",
    *(f"source_{each}" for each in (*_SIDE, *_SIDE_LATER)),
    *(f"destination_{each}" for each in (*_SIDE, *_SIDE_LATER)),
    "destination_service",
    "destination_service_name",
    "destination_service_namespace",
    "request_protocol",
    "response_code",
    "grpc_response_status",
    "response_flags",
    "connection_security_policy",
)
CLUSTER = "Kubernetes"
MAX_SERIES = 20_000
"""Label sets that are kept; whoever invents hosts or flags without end is counted in ``dropped``."""

Labels = tuple[tuple[str, str], ...]
Change = Callable[[str, Labels], Labels | None]
"""(metric, standard labels) -> labels; None: the metric is off."""


@dataclass(slots=True)
class Histogram:
    """Counts by bucket (the last one: above all), and the sum."""

    counts: list[int] = field(default_factory=lambda: [0] * (len(BUCKETS) + 1))
    total: float = 0.0
    bounds: tuple[float, ...] = BUCKETS

    @classmethod
    def of(cls, bounds: tuple[float, ...]) -> Histogram:
        """Return an empty one with these upper bounds."""
        return cls([0] * (len(bounds) + 1), 0.0, bounds)

    def observe(self, value: float) -> None:
        """Count ``value``."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def add(self, other: Histogram) -> None:
        """Add the counts of another one with the same bounds; of others there is no sum."""
        if self.bounds != other.bounds:
            return
        self.counts = [mine + its for mine, its in zip(self.counts, other.counts, strict=True)]
        self.total += other.total


def side(workload: Workload, principal: str, prefix: str) -> list[tuple[str, str]]:
    """Return the labels of one end."""
    nobody = workload is NOBODY
    values = (
        workload.workload,
        workload.namespace,
        principal,
        workload.app,
        workload.version,
        UNKNOWN if nobody else workload.canonical_service,
        UNKNOWN if nobody else workload.canonical_revision,
        UNKNOWN if nobody else CLUSTER,
    )
    names = (*_SIDE, *_SIDE_LATER)
    return [(f"{prefix}_{name}", value) for name, value in zip(names, values, strict=True)]


def labels_of(record: AccessLogRecord, parties: Parties) -> Labels:
    """Return the standard labels of a record, in the order of LABELS."""
    secure = parties.mtls
    source = record.downstream_peer_uri_san if secure else UNKNOWN
    destination = parties.destination.principal if secure else UNKNOWN
    policy = UNKNOWN if secure is None else "mutual_tls" if secure else "none"
    return (
        ("reporter", parties.reporter),
        *side(parties.source, source, "source"),
        *side(parties.destination, destination, "destination"),
        ("destination_service", parties.service),
        ("destination_service_name", parties.service_name),
        ("destination_service_namespace", parties.service_namespace),
        ("request_protocol", "http"),
        ("response_code", str(record.response_code)),
        ("grpc_response_status", ""),
        ("response_flags", record.response_flags or "-"),
        ("connection_security_policy", policy),
    )


@dataclass(slots=True)
class Counter:
    """A number that grows."""

    value: float = 0.0


@dataclass(slots=True)
class PodMetrics:
    """What one pod's sidecar reported, by name of the metric and label set.

    ``gauges`` and ``untyped`` are what configuration defines (Mixer's metrics), also histograms.
    """

    counters: dict[str, dict[Labels, Counter]] = field(default_factory=dict)
    histograms: dict[str, dict[Labels, Histogram]] = field(default_factory=dict)
    untyped: dict[str, dict[Labels, Counter]] = field(default_factory=dict)
    gauges: dict[str, dict[Labels, Counter]] = field(default_factory=dict)


def merge(pods: Iterable[PodMetrics]) -> PodMetrics:
    """Add up what several pods reported."""
    whole = PodMetrics()
    for pod in pods:
        for ours, theirs in (
            (whole.counters, pod.counters),
            (whole.untyped, pod.untyped),
            (whole.gauges, pod.gauges),
        ):
            for name, counters in theirs.items():
                mine = ours.setdefault(name, {})
                for labels, counter in counters.items():
                    mine.setdefault(labels, Counter()).value += counter.value
        for name, histograms in pod.histograms.items():
            known = whole.histograms.setdefault(name, {})
            for labels, histogram in histograms.items():
                known.setdefault(labels, Histogram.of(histogram.bounds)).add(histogram)
    return whole


class Meter:
    """Counts records into metrics by pod; ``dropped`` counts samples that found no room."""

    def __init__(self, max_series: int = MAX_SERIES) -> None:
        self.pods: dict[str, PodMetrics] = {}
        self.dropped = 0
        self._series = 0
        self._max_series = max_series
        self._cells: dict[tuple[int, int, str], tuple[Parties, list[Counter | Histogram]]] = {}

    def count(
        self, record: AccessLogRecord, parties: Parties, change: Change | None = None
    ) -> None:
        """Count one record into the standard metrics; ``change`` is what a Telemetry does to them.

        The same parties, code and flags count into the same cells: these are remembered.
        """
        if change is not None:
            standard = labels_of(record, parties)
            values = values_of(record)
            for name, value in zip((REQUESTS, *HISTOGRAMS), values, strict=True):
                changed = change(name, standard)
                if changed is not None:
                    self.add(record.pod, name, changed, value)
            return
        key = (id(parties), record.response_code, record.response_flags)
        known = self._cells.get(key)
        if known is None or known[0] is not parties:
            labels = labels_of(record, parties)
            cells = [self.cell(record.pod, name, labels) for name in (REQUESTS, *HISTOGRAMS)]
            found = [cell for cell in cells if cell is not None]
            if len(found) < len(cells):
                return
            if len(self._cells) >= self._max_series:
                self._cells.clear()
            known = self._cells[key] = (parties, found)
        for cell, value in zip(known[1], values_of(record), strict=True):
            if isinstance(cell, Histogram):
                cell.observe(value)
            else:
                cell.value += value

    def add(self, pod: str, name: str, labels: Labels, value: float) -> None:
        """Add ``value`` to a standard metric: observe it, where the metric is a histogram."""
        cell = self.cell(pod, name, labels)
        if isinstance(cell, Histogram):
            cell.observe(value)
        elif cell is not None:
            cell.value += value

    def custom(
        self,
        pod: str,
        name: str,
        labels: Labels,
        value: float,
        kind: str,
        bounds: tuple[float, ...],
    ) -> None:
        """Add ``value`` to a metric that configuration defines; a GAUGE is set to it."""
        metrics = self.pods.setdefault(pod, PodMetrics())
        if kind == "DISTRIBUTION":
            histograms = metrics.histograms.setdefault(name, {})
            if labels in histograms or self._room():
                histograms.setdefault(labels, Histogram.of(bounds)).observe(value)
            return
        cells = (metrics.gauges if kind == "GAUGE" else metrics.untyped).setdefault(name, {})
        if labels in cells or self._room():
            cell = cells.setdefault(labels, Counter())
            cell.value = value if kind == "GAUGE" else cell.value + value

    def _room(self) -> bool:
        """Take room for one more label set; False, and a dropped sample, when there is none."""
        if self._series >= self._max_series:
            self.dropped += 1
            return False
        self._series += 1
        return True

    def cell(self, pod: str, name: str, labels: Labels) -> Counter | Histogram | None:
        """Return where to count; None when there is no room for another label set."""
        metrics = self.pods.get(pod)
        if metrics is None:
            metrics = self.pods[pod] = PodMetrics()
        histogram = name in HISTOGRAMS
        known: dict[Labels, Counter] | dict[Labels, Histogram] = (
            metrics.histograms.setdefault(name, {})
            if histogram
            else metrics.counters.setdefault(name, {})
        )
        found = known.get(labels)
        if found is None:
            if not self._room():
                return None
            if histogram:
                found = metrics.histograms[name][labels] = Histogram()
            else:
                found = metrics.counters[name][labels] = Counter()
        return found


def values_of(record: AccessLogRecord) -> tuple[float, float, float, float]:
    """Return what a record adds to REQUESTS and each of HISTOGRAMS."""
    return 1.0, record.duration, record.bytes_received, record.bytes_sent
