"""Telemetry ``spec.metrics``: standard metrics turned off, labels set or removed.

``overrides[].match`` picks the metric (``REQUEST_COUNT`` and the like; none: all) and the side
(``CLIENT``, ``SERVER``); ``disabled`` turns it off, ``tagOverrides`` sets a label to the value of an
expression (``request.host``, ``response.code``) or removes it.  Mesh, namespace and workload are
asked in this order, and a later one wins.  An expression without a value gives ``unknown``.
Source: istio/istio ``pilot/pkg/model/telemetry.go``.  Shown by ``meshctl metrics``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from mesh.istio.mixer_expression import (
    AbsentError,
    ExpressionError,
    Node,
    evaluate,
    parse,
)
from mesh.istio.models.telemetry import MetricsOverrides, Telemetry
from mesh.istio.resource import Resource
from mesh.mixer.standard_metrics import (
    DURATION,
    REQUEST_BYTES,
    REQUESTS,
    RESPONSE_BYTES,
    Labels,
)
from mesh.mixer.workloads import UNKNOWN, Workload
from mesh.topology import ROOT_NAMESPACE

METRICS = {
    "REQUEST_COUNT": REQUESTS,
    "REQUEST_DURATION": DURATION,
    "REQUEST_SIZE": REQUEST_BYTES,
    "RESPONSE_SIZE": RESPONSE_BYTES,
}
_SIDES = {"CLIENT": "source", "SERVER": "destination"}


@dataclass(frozen=True, slots=True)
class Override:
    """One override; ``metric`` and ``reporter`` empty: all; a tag without a node is removed."""

    metric: str
    reporter: str
    disabled: bool | None
    tags: tuple[tuple[str, Node | None], ...]


@dataclass(frozen=True, slots=True)
class Rules:
    """What is in force for one workload."""

    overrides: tuple[Override, ...]

    def change(
        self, name: str, labels: Labels, reporter: str, attributes: Mapping[str, Any]
    ) -> Labels | None:
        """Return the labels of a metric; None when it is off."""
        disabled, found = False, dict(labels)
        for each in self.overrides:
            if each.metric not in ("", name) or each.reporter not in ("", reporter):
                continue
            if each.disabled is not None:
                disabled = each.disabled
            for tag, node in each.tags:
                if node is None:
                    found.pop(tag, None)
                else:
                    found[tag] = _value(node, attributes)
        return None if disabled else tuple(found.items())


class TelemetryMetrics:
    """The Telemetry resources of a mesh; rules are found by workload, and remembered."""

    def __init__(self, resources: Iterable[Resource] = ()) -> None:
        self._specs = [
            (each.namespace, each.spec)
            for each in resources
            if isinstance(each.spec, Telemetry) and each.spec.metrics
        ]
        self._known: dict[str, Rules | None] = {}

    def rules(self, workload: Workload) -> Rules | None:
        """Return what holds for a workload; None where nothing does."""
        if not self._specs:
            return None
        if workload.pod not in self._known:
            found = [
                _override(each)
                for spec in in_force(self._specs, workload.namespace, workload.labels)
                for metrics in spec.metrics or []
                for each in metrics.overrides or []
            ]
            self._known[workload.pod] = Rules(tuple(found)) if found else None
        return self._known[workload.pod]


def in_force(
    specs: Iterable[tuple[str, Telemetry]], own_namespace: str, labels: Mapping[str, str]
) -> list[Telemetry]:
    """Return those of (namespace, spec) that hold for a workload: mesh, namespace, workload."""
    mesh: list[Telemetry] = []
    whole: list[Telemetry] = []
    own: list[Telemetry] = []
    for namespace, spec in specs:
        wanted = (spec.selector.match_labels if spec.selector else None) or {}
        if not wanted and namespace == ROOT_NAMESPACE:
            mesh.append(spec)
        elif not wanted and namespace == own_namespace:
            whole.append(spec)
        elif wanted and namespace == own_namespace and wanted.items() <= labels.items():
            own.append(spec)
    return [*mesh[:1], *whole[:1], *own[:1]]


def _override(each: MetricsOverrides) -> Override:
    match = each.match
    wanted = (match.metric or "ALL_METRICS") if match else "ALL_METRICS"
    tags: list[tuple[str, Node | None]] = []
    for name, tag in (each.tag_overrides or {}).items():
        if tag.operation == "REMOVE":
            tags.append((name, None))
            continue
        try:
            tags.append((name, parse(tag.value or "")))
        except ExpressionError:
            continue  # the validation has said so
    metric = "" if wanted == "ALL_METRICS" else METRICS.get(wanted, wanted)
    if match and match.custom_metric:
        metric = match.custom_metric
    side = _SIDES.get((match.mode or "") if match else "", "")
    return Override(metric, side, each.disabled, tuple(tags))


def _value(node: Node, attributes: Mapping[str, Any]) -> str:
    try:
        value = evaluate(node, attributes)
    except AbsentError:
        return UNKNOWN
    return str(value).lower() if isinstance(value, bool) else str(value)
