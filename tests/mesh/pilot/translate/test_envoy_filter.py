"""EnvoyFilter: which clusters get the patch, and what is said of patches without effect."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

from envoy_data_plane.envoy.config.cluster.v3 import Cluster

from mesh.istio import Level, load_text
from mesh.istio.eras import ISTIO_1_28
from mesh.pilot.node import ProxyNode
from mesh.pilot.translate import CDS, translate
from mesh.pilot.translate.envoy_filter import remarks
from mesh.pilot.translate.view import MeshView

Make = Callable[..., MeshView]
NAME = "outbound|8080||recommendation.tutorial.svc.cluster.local"
OWN = "outbound|8080||customer.tutorial.svc.cluster.local"
CHECK = (
    "{timeout: 1s, interval: 2s, unhealthy_threshold: 2, healthy_threshold: 1, "
    "http_health_check: {host: a, path: /health/ready}}"
)


def document(
    value: str,
    match: str = "{cluster: {service: recommendation.tutorial.svc.cluster.local}}",
    more: str = "",
    apply_to: str = "CLUSTER",
    operation: str = "MERGE",
) -> tuple[str, str, str]:
    return (
        "EnvoyFilter",
        "health",
        f"  configPatches:\n  - applyTo: {apply_to}\n    match: {match}\n"
        f"    patch: {{operation: {operation}, value: {value}}}\n{more}",
    )


def clusters(view: MeshView, node: ProxyNode) -> dict[str, Cluster]:
    return {
        name: each for name, each in translate(view, node)[CDS].items() if isinstance(each, Cluster)
    }


def test_a_service_gets_its_health_check_and_no_other(view: Make, node: ProxyNode) -> None:
    found = clusters(view(document(f"{{connect_timeout: 3s, health_checks: [{CHECK}]}}")), node)
    check = found[NAME].health_checks[0]
    assert check.interval == timedelta(seconds=2)
    assert check.http_health_check is not None
    assert check.http_health_check.path == "/health/ready"
    assert found[NAME].connect_timeout == timedelta(seconds=3)
    assert found[OWN].health_checks == []


def test_context_selector_and_names_choose(view: Make, node: ProxyNode, gateway: ProxyNode) -> None:
    value = f"{{healthChecks: [{CHECK}]}}"

    def checked(document: tuple[str, str, str], node: ProxyNode) -> list[str]:
        found = clusters(view(document), node)
        return sorted(name for name, each in found.items() if each.health_checks)

    everything = ["inbound|8080||", OWN, NAME]
    assert checked(document(value, "{}"), node) == everything
    assert checked(document(value, "{context: SIDECAR_INBOUND}"), node) == ["inbound|8080||"]
    assert checked(document(value, "{context: GATEWAY}"), node) == []
    assert checked(document(value, "{context: GATEWAY}"), gateway) == [OWN, NAME]
    assert checked(document(value, f'{{cluster: {{name: "{NAME}"}}}}'), node) == [NAME]
    assert checked(document(value, "{cluster: {subset: v9}}"), node) == []
    assert checked(document(value, "{cluster: {portNumber: 9}}"), node) == []
    selected = "  workloadSelector: {labels: {app: customer}}\n"
    assert checked(document(value, more=selected), node) == [NAME]
    other = replace(node, labels={"app": "other"})
    assert checked(document(value, more=selected), other) == []


def test_messages_merge_and_lists_grow(view: Make, node: ProxyNode) -> None:
    rule = (
        "DestinationRule",
        "recommendation",
        "  host: recommendation\n  trafficPolicy: {outlierDetection: {interval: 7s}}\n",
    )
    value = (
        f"{{outlier_detection: {{max_ejection_percent: 70}}, health_checks: [{CHECK}, {CHECK}]}}"
    )
    cluster = clusters(view(rule, document(value)), node)[NAME]
    assert cluster.outlier_detection is not None
    assert cluster.outlier_detection.interval == timedelta(seconds=7)
    assert cluster.outlier_detection.max_ejection_percent == 70
    assert len(cluster.health_checks) == 2


def test_what_has_no_effect_is_told(view: Make, node: ProxyNode) -> None:
    def said(document: tuple[str, str, str]) -> list[tuple[Level, str]]:
        kind, name, spec = document
        text = f"apiVersion: networking.istio.io/v1alpha3\nkind: {kind}\nmetadata: {{name: {name}}}\nspec:\n{spec}"
        loaded = load_text(text, "a.yaml", era=ISTIO_1_28, namespace="tutorial")
        return [(each.level, each.message) for each in remarks(loaded.resources)]

    assert said(document(f"{{health_checks: [{CHECK}]}}")) == []
    filters = document("{}", apply_to="HTTP_FILTER", operation="INSERT_BEFORE")
    assert said(filters) == []  # the validation says it
    assert "operation ADD" in said(document("{}", operation="ADD"))[0][1]
    assert "lb_policy of a cluster" in said(document("{lb_policy: RANDOM}"))[0][1]
    wrong = document("{health_checks: [{period: 1s}]}")
    assert said(wrong) == [
        (
            Level.ERROR,
            "this is no configuration of an Envoy cluster: "
            "Unknown field 'period' in message HealthCheck.",
        )
    ]
    assert clusters(view(wrong), node)[NAME].health_checks == []
    nameless = CHECK.replace("host: a, ", "")
    assert "answer 400" in said(document(f"{{health_checks: [{nameless}]}}"))[0][1]
