"""Exposition: metrics in Prometheus' text format, written by prometheus_client.

The numbers live in ``standard_metrics``; a collector hands them to the library when somebody
scrapes.  Shown by ``curl`` at the addresses that ``meshctl status`` names.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from mesh.mixer.standard_metrics import HELP, Counter, Histogram, Labels, PodMetrics

CUSTOM = "Defined by configuration."
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class PodCollector(Collector):
    """Gives one set of metrics to prometheus_client; ``own`` adds numbers about Mixer itself."""

    def __init__(self, metrics: PodMetrics, own: dict[str, tuple[str, float]]) -> None:
        self._metrics = metrics
        self._own = own

    def collect(self) -> Iterable[Metric]:
        """Yield the families."""
        for name, counters in self._metrics.counters.items():
            yield counter(name, counters)
        for name, known in self._metrics.histograms.items():
            yield histogram(name, known)
        for name, plain in self._metrics.untyped.items():
            yield single(name, plain, "unknown")
        for name, plain in self._metrics.gauges.items():
            yield single(name, plain, "gauge")
        for name, (text, value) in self._own.items():
            yield CounterMetricFamily(name, text, value=value)


def counter(name: str, values: Mapping[Labels, Counter]) -> Metric:
    """Return a counter; the label names may differ, as configuration changed meanwhile."""
    plain = name.removesuffix("_total")
    family = Metric(plain, HELP.get(name, CUSTOM), "counter")
    for labels, each in values.items():
        family.add_sample(f"{plain}_total", dict(labels), each.value)
    return family


def single(name: str, values: Mapping[Labels, Counter], kind: str) -> Metric:
    """Return a metric of configuration under its own name (Mixer added no ``_total``)."""
    family = Metric(name, CUSTOM, kind)
    for labels, each in values.items():
        family.add_sample(name, dict(labels), each.value)
    return family


def histogram(name: str, values: Mapping[Labels, Histogram]) -> Metric:
    """Return a histogram with cumulated buckets."""
    family = Metric(name, HELP.get(name, CUSTOM), "histogram")
    for labels, each in values.items():
        known, below = dict(labels), 0
        for limit, count in zip((*map(str, each.bounds), "+Inf"), each.counts, strict=True):
            below += count
            family.add_sample(f"{name}_bucket", {**known, "le": limit}, below)
        family.add_sample(f"{name}_count", known, below)
        family.add_sample(f"{name}_sum", known, each.total)
    return family


def text(metrics: PodMetrics, own: dict[str, tuple[str, float]] | None = None) -> bytes:
    """Return Prometheus' text format."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(PodCollector(metrics, own or {}))
    return generate_latest(registry)
