from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from envoy_data_plane.envoy.config.cluster.v3 import Cluster, ClusterLbPolicy
from envoy_data_plane.envoy.config.endpoint.v3 import ClusterLoadAssignment
from envoy_data_plane.envoy.config.listener.v3 import Listener

from mesh.accesslog import JSON_FORMAT
from mesh.istio.eras import ISTIO_1_0, ISTIO_1_28
from mesh.pilot import proxy_config
from mesh.pilot.node import ProxyNode
from mesh.pilot.translate import CDS, EDS, LDS, translate
from mesh.pilot.translate.view import MeshView

Make = Callable[..., MeshView]
NAME = "outbound|8080|{}|recommendation.tutorial.svc.cluster.local"
SUBSETS = (
    "  subsets:\n  - {name: v1, labels: {version: v1}}\n  - name: v2\n    labels: {version: v2}\n"
)


def rule(text: str) -> tuple[str, str, str]:
    return "DestinationRule", "recommendation", f"  host: recommendation\n{text}"


def cluster(view: MeshView, node: ProxyNode, subset: str = "") -> Cluster:
    found = translate(view, node)[CDS][NAME.format(subset)]
    assert isinstance(found, Cluster)
    return found


def test_each_subset_has_a_cluster_with_its_pods(view: Make, node: ProxyNode) -> None:
    endpoints = translate(view(rule(SUBSETS)), node)[EDS]
    found = endpoints[NAME.format("v2")]
    assert isinstance(found, ClusterLoadAssignment)
    [endpoint] = found.endpoints[0].lb_endpoints
    assert endpoint.metadata is not None
    assert endpoint.metadata.filter_metadata["envoy.lb"].to_dict() == {
        "hash_key": "recommendation-v2-0",
        "pod": "recommendation-v2-0",
    }


def test_the_default_balancer_is_the_eras(view: Make, node: ProxyNode) -> None:
    assert cluster(view(era=ISTIO_1_0), node).lb_policy == ClusterLbPolicy.ROUND_ROBIN
    assert cluster(view(era=ISTIO_1_28), node).lb_policy == ClusterLbPolicy.LEAST_REQUEST


def test_no_limits_by_default(view: Make, node: ProxyNode) -> None:
    breakers = cluster(view(), node).circuit_breakers
    assert breakers is not None
    [limits] = breakers.thresholds
    assert limits.max_connections == limits.max_retries == 2**32 - 1
    assert cluster(view(), node).connect_timeout == timedelta(seconds=10)


def test_every_cluster_closes_idle_connections(view: Make, node: ProxyNode) -> None:
    for found in translate(view(), node)[CDS].values():
        assert isinstance(found, Cluster)
        [options] = found.to_dict()["typedExtensionProtocolOptions"].values()
        assert options["commonHttpProtocolOptions"]["idleTimeout"] == "20s"


def test_a_subsets_policy_goes_over_the_hosts_field_by_field(view: Make, node: ProxyNode) -> None:
    policy = (
        "  trafficPolicy:\n    loadBalancer: {simple: RANDOM}\n"
        "    connectionPool: {http: {http1MaxPendingRequests: 1}, tcp: {maxConnections: 1}}\n"
    )
    text = f"{policy}{SUBSETS}    trafficPolicy: {{loadBalancer: {{consistentHash: {{httpHeaderName: user}}}}}}"
    made = view(rule(text))
    assert cluster(made, node, "v1").lb_policy == ClusterLbPolicy.RANDOM
    above = cluster(made, node, "v2")
    assert above.lb_policy == ClusterLbPolicy.RING_HASH
    assert above.circuit_breakers is not None
    assert above.circuit_breakers.thresholds[0].max_pending_requests == 1


def test_port_level_settings_inherit_nothing(view: Make, node: ProxyNode) -> None:
    text = (
        "  trafficPolicy:\n    connectionPool: {tcp: {maxConnections: 1}}\n"
        "    portLevelSettings: [{port: {number: 8080}, loadBalancer: {simple: RANDOM}}]"
    )
    found = cluster(view(rule(text)), node)
    assert found.lb_policy == ClusterLbPolicy.RANDOM
    assert found.circuit_breakers is not None
    assert found.circuit_breakers.thresholds[0].max_connections == 2**32 - 1


def test_outlier_detection_sets_the_panic_threshold_to_zero(view: Make, node: ProxyNode) -> None:
    text = "  trafficPolicy: {outlierDetection: {consecutive5xxErrors: 1, maxEjectionPercent: 100}}"
    found = cluster(view(rule(text)), node)
    assert found.outlier_detection is not None
    assert found.outlier_detection.consecutive_5xx == 1
    assert found.common_lb_config is not None
    assert found.common_lb_config.healthy_panic_threshold is not None
    assert found.common_lb_config.healthy_panic_threshold.value == 0


def test_consecutive_errors_worked_until_1_6(view: Make, node: ProxyNode) -> None:
    made = rule("  trafficPolicy: {outlierDetection: {consecutiveErrors: 2}}")
    old = cluster(view(made, era=ISTIO_1_0), node).outlier_detection
    new = cluster(view(made), node).outlier_detection
    assert old is not None
    assert new is not None
    assert (old.consecutive_gateway_failure, old.enforcing_consecutive_5xx) == (2, 0)
    assert new.consecutive_gateway_failure is None


def test_the_access_log_has_the_kits_fields_and_the_direction(view: Make, node: ProxyNode) -> None:
    found = translate(view(), node)[LDS]
    assert sorted(found) == ["connect", "http_proxy", "virtualInbound"]
    for name, direction in (
        ("connect", "outbound"),
        ("http_proxy", "outbound"),
        ("virtualInbound", "inbound"),
    ):
        listener = found[name]
        assert isinstance(listener, Listener)
        manager = listener.to_dict()["filterChains"][0]["filters"][0]["typedConfig"]
        log = manager["accessLog"][0]["typedConfig"]["logFormat"]["jsonFormat"]
        assert log == {**JSON_FORMAT, "direction": direction}


def test_tables_of_proxy_config(view: Make, node: ProxyNode) -> None:
    snapshot = translate(view(rule(SUBSETS)), node)
    host = "recommendation.tutorial.svc.cluster.local"
    assert [
        host,
        "8080",
        "v1",
        "outbound",
        "EDS",
        "recommendation.tutorial",
    ] in proxy_config.clusters(snapshot)
    assert ["127.0.0.1:1003", "HEALTHY", "OK", NAME.format("v2")] in proxy_config.endpoints(
        snapshot
    )
    assert [
        "http_proxy",
        "127.0.0.1",
        "1101",
        "ALL",
        "Route: http_proxy",
    ] in proxy_config.listeners(snapshot)
    for name, view_of in proxy_config.VIEWS.items():
        assert {len(row) for row in view_of(snapshot)} == {len(proxy_config.COLUMNS[name])}


@pytest.mark.parametrize("simple", ["ROUND_ROBIN", "LEAST_REQUEST", "RANDOM"])
def test_warm_up(view: Callable[..., MeshView], node: ProxyNode, simple: str) -> None:
    for words, expected in (
        ("warmupDurationSecs: 30s", (30, None, None)),
        ("warmup: {duration: 20s, minimumPercent: 5, aggression: 2}", (20, 5, 2)),
    ):
        spec = (
            "  host: recommendation\n  trafficPolicy:\n"
            f"    loadBalancer: {{simple: {simple}, {words}}}\n"
        )
        made = translate(view(("DestinationRule", "recommendation", spec)), node)[CDS]
        cluster = made["outbound|8080||recommendation.tutorial.svc.cluster.local"]
        assert isinstance(cluster, Cluster)
        own = cluster.round_robin_lb_config or cluster.least_request_lb_config
        if simple == "RANDOM":
            assert own is None
            continue
        assert own is not None and own.slow_start_config is not None
        slow = own.slow_start_config
        assert slow.slow_start_window is not None
        assert slow.slow_start_window.total_seconds() == expected[0]
        assert (slow.min_weight_percent and slow.min_weight_percent.value) == expected[1]
        assert (slow.aggression and slow.aggression.default_value) == expected[2]
