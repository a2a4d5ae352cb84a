"""prometheus: custom metrics, made of ``metric`` instances; at ``/metrics`` beside Istio's own.

``metrics[]`` has ``name`` (``istio_`` is put before it, or ``namespace``), ``instanceName``, ``kind``
(COUNTER, GAUGE, DISTRIBUTION), ``labelNames`` (of the instance's dimensions) and, for a
distribution, ``buckets.explicitBuckets.bounds``.
Source: istio/istio 1.4 ``mixer/adapter/prometheus``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from mesh.mixer.adapters import AdapterError, Sink, seconds

KINDS = ("COUNTER", "GAUGE", "DISTRIBUTION")
BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Prometheus' own default, in seconds."""
_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")


@dataclass(frozen=True, slots=True)
class _Metric:
    name: str
    kind: str
    labels: tuple[str, ...]
    bounds: tuple[float, ...]


class Adapter:
    """A handler of kind ``prometheus``."""

    def __init__(self, params: Mapping[str, Any], clock: Callable[[], float]) -> None:
        """Read ``metrics``; AdapterError for a name that Prometheus refuses."""
        del clock
        self._metrics: list[tuple[str, _Metric]] = []
        for each in params.get("metrics") or []:
            name = f"{each.get('namespace') or 'istio'}_{each.get('name') or ''}"
            labels = tuple(each.get("labelNames") or each.get("label_names") or ())
            kind = str(each.get("kind") or "COUNTER")
            if not each.get("name") or not _NAME.fullmatch(name):
                raise AdapterError(f"prometheus: {each.get('name')!r} is no name of a metric")
            if kind not in KINDS:
                raise AdapterError(f"prometheus: {name}: kind is one of {', '.join(KINDS)}")
            for label in labels:
                if not _LABEL.fullmatch(str(label)):
                    raise AdapterError(f"prometheus: {name}: {label!r} is no name of a label")
            instance = str(each.get("instanceName") or each.get("instance_name") or "")
            self._metrics.append((instance, _Metric(name, kind, labels, _bounds(name, each))))

    def report(self, instance: str, values: Mapping[str, Any], sink: Sink) -> None:
        """Add the instance's ``value`` to its metric."""
        for name, metric in self._metrics:
            if instance == name or instance.startswith(f"{name}."):
                labels = {each: _text(values.get(each, "")) for each in metric.labels}
                value = _number(values.get("value", 0))
                sink.add(metric.name, labels, value, metric.kind, metric.bounds)


def _bounds(name: str, metric: Mapping[str, Any]) -> tuple[float, ...]:
    buckets = metric.get("buckets") or {}
    explicit = buckets.get("explicitBuckets") or buckets.get("explicit_buckets") or {}
    if buckets and not explicit:
        raise AdapterError(f"prometheus: {name}: of buckets only explicitBuckets are executed")
    bounds = tuple(float(each) for each in explicit.get("bounds") or BOUNDS)
    if list(bounds) != sorted(set(bounds)):
        raise AdapterError(f"prometheus: {name}: bounds have to rise")
    return bounds


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _number(value: Any) -> float:
    """Return a number; a duration (``5ms``) in seconds, as Mixer's adapter has it."""
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return seconds(value)
    return float(value)
