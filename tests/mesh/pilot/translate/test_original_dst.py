from __future__ import annotations

from collections.abc import Callable

from envoy_data_plane.envoy.config.cluster.v3 import (
    Cluster,
    ClusterDiscoveryType,
    ClusterLbPolicy,
)

from mesh.istio import load_text
from mesh.istio.eras import ISTIO_1_28
from mesh.pilot.node import ProxyNode
from mesh.pilot.translate import CDS, EDS, RDS, translate
from mesh.pilot.translate.original_dst import CODE, remarks
from mesh.pilot.translate.outbound_policy import PASSTHROUGH
from mesh.pilot.translate.view import COMPOSE, LOCAL, MeshView

Make = Callable[..., MeshView]
NAME = "outbound|8080||recommendation.tutorial.svc.cluster.local"
RULE = (
    "DestinationRule",
    "recommendation",
    "  host: recommendation\n  trafficPolicy: {loadBalancer: {simple: PASSTHROUGH}}\n",
)
ENTRY = (
    "ServiceEntry",
    "out",
    "  hosts: [a.example]\n  ports: [{number: 80, name: http, protocol: HTTP}]\n",
)


def test_compose_goes_where_the_caller_wanted(view: Make, node: ProxyNode) -> None:
    snapshot = translate(view(RULE, ENTRY, runtime=COMPOSE), node)
    for name in (NAME, "outbound|80||a.example", PASSTHROUGH):
        cluster = snapshot[CDS][name]
        assert isinstance(cluster, Cluster)
        assert cluster.type is ClusterDiscoveryType.ORIGINAL_DST
        assert cluster.lb_policy is ClusterLbPolicy.CLUSTER_PROVIDED
        assert (cluster.eds_cluster_config, cluster.load_assignment) == (None, None)
        assert name not in snapshot[EDS]
    last = snapshot[RDS]["http_proxy"].virtual_hosts[-1]  # type: ignore[attr-defined]
    assert (last.name, last.domains) == ("allow_any", ["*"])


def test_locally_the_default_balancer_chooses(view: Make, node: ProxyNode) -> None:
    snapshot = translate(view(RULE, runtime=LOCAL), node)
    cluster = snapshot[CDS][NAME]
    assert isinstance(cluster, Cluster)
    assert cluster.type is ClusterDiscoveryType.EDS and NAME in snapshot[EDS]
    assert cluster.lb_policy is ClusterLbPolicy.LEAST_REQUEST


def test_what_is_not_executed_is_said() -> None:
    text = (
        "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: a}\nspec:\n"
        "  host: a\n  subsets:\n  - name: b\n    trafficPolicy:\n      loadBalancer:\n"
        "        simple: PASSTHROUGH\n---\n"
        "apiVersion: networking.istio.io/v1\nkind: Sidecar\nmetadata: {name: b}\nspec:\n"
        "  ingress:\n  - port: {number: 80, protocol: HTTP, name: http}\n"
        "    defaultEndpoint: 127.0.0.1:8080\n"
        "  egress:\n  - port: {number: 81, protocol: HTTP, name: http}\n    bind: 127.0.0.1\n"
        "    hosts: ['*/*']\n"
    )
    loaded = load_text(text, "x.yaml", era=ISTIO_1_28, namespace="tutorial")
    found = remarks(loaded.resources)
    assert [(each.code, each.position.line if each.position else 0) for each in found] == [
        (CODE, 10),
        (CODE, 16),
        (CODE, 21),
    ]
