"""The lecture's old circuit breakers down to what Envoy executes."""

from __future__ import annotations

from typing import Any

import pytest
from envoy_data_plane.envoy.config.cluster.v3 import Cluster

from mesh.istio import era, load_text
from mesh.istio.legacy import convert_text
from mesh.pilot.node import ProxyNode
from mesh.pilot.registry import Registry
from mesh.pilot.translate import CDS, translate
from mesh.pilot.translate.view import MeshView

HOST = "recommendation.tutorial.svc.cluster.local"
SIMPLE_CB = """\
destination: recommendation.tutorial.svc.cluster.local
policy:
- loadBalancing: {name: RANDOM}
- tags: {version: v1}
  circuitBreaker:
    simpleCb:
      maxConnections: 100
      httpMaxPendingRequests: 3
      httpMaxRequests: 1000
      httpMaxRetries: 2
      httpConsecutiveErrors: 7
      sleepWindow: 15m
      httpDetectionInterval: 5m
      httpMaxEjectionPercent: 50
"""
ACCRUAL = "failureAccrual: {{kind: {kind}, {more}, backoff: {{kind: constant, ms: 10000}}}}"


def cluster(text: str, name: str, registry: Registry, node: ProxyNode, release: str) -> Cluster:
    modern, remarks = convert_text(text, "old.yaml", era=era(release))
    assert [each.code for each in remarks] == ["KIT0150"]
    loaded = load_text(modern, "new.yaml", era=era(release), namespace="tutorial")
    assert loaded.resources
    view = MeshView(registry, tuple(loaded.resources), era(release))
    found = translate(view, node)[CDS][name]
    assert isinstance(found, Cluster)
    return found


@pytest.mark.parametrize("release", ["istio-1.0", "istio-current"])
def test_simple_cb(registry: Registry, node: ProxyNode, release: str) -> None:
    found = cluster(SIMPLE_CB, f"outbound|8080|v1|{HOST}", registry, node, release)
    assert found.circuit_breakers is not None and found.outlier_detection is not None
    [limits] = found.circuit_breakers.thresholds
    assert (limits.max_connections, limits.max_pending_requests) == (100, 3)
    assert (limits.max_requests, limits.max_retries) == (1000, 2)
    detection = found.outlier_detection
    old = release == "istio-1.0"
    counted = detection.consecutive_gateway_failure if old else detection.consecutive_5xx
    assert (counted, detection.max_ejection_percent) == (7, 50)
    assert detection.interval is not None and detection.base_ejection_time is not None
    assert detection.interval.total_seconds() == 300
    assert detection.base_ejection_time.total_seconds() == 900


@pytest.mark.parametrize(
    ("kind", "more", "errors"),
    [
        ("io.l5d.consecutiveFailures", "failures: 3", 3),
        ("io.l5d.successRate", "successRate: 0.9, requests: 50", 5),
        ("io.l5d.successRateWindowed", "successRate: 0.9, window: 30", 2),
        ("none", "failures: 3", 0),
    ],
)
def test_failure_accrual(
    registry: Registry, node: ProxyNode, kind: str, more: str, errors: int
) -> None:
    text = "routers:\n- protocol: http\n  client:\n    " + ACCRUAL.format(kind=kind, more=more)
    found = cluster(text + "\n", f"outbound|8080||{HOST}", registry, node, "istio-current")
    detection: Any = found.outlier_detection
    assert detection.consecutive_5xx == errors
    assert detection.enforcing_consecutive_5xx == (100 if errors else 0)
    assert (detection.max_ejection_percent, detection.base_ejection_time.total_seconds()) == (
        100,
        10,
    )
