"""TCP and TLS routes become filter chains in Istio's order."""

from __future__ import annotations

from typing import Any

from envoy_data_plane.envoy.extensions.filters.network.tcp_proxy.v3 import TcpProxy

from mesh.istio import load_text
from mesh.istio.eras import ISTIO_1_28
from mesh.pilot.node import ProxyNode
from mesh.pilot.registry import Registry
from mesh.pilot.translate import LDS, translate
from mesh.pilot.translate.view import MeshView
from mesh.topology import Port, Service

HOST = "db.tutorial.svc.cluster.local"


def chains(yaml: str, protocol: str = "tcp", **node: Any) -> list[tuple[Any, Any]]:
    """Return (match, clusters with weights) of each chain of the listener of ``db:3306``."""
    registry = Registry()
    registry.add_service(Service("db", ports=(Port(3306, protocol, protocol),)))
    loaded = load_text(yaml, era=ISTIO_1_28) if yaml else None
    view = MeshView(registry, tuple(loaded.resources) if loaded else ())
    me = ProxyNode("a", "tutorial", tcp_ports={f"{HOST}:3306": 7000}, **node)
    listener: Any = translate(view, me)[LDS][f"{HOST}_3306"]
    assert listener.address.socket_address.port_value == 7000
    assert bool(listener.listener_filters) == (protocol in ("tls", "https"))
    found = []
    for chain in listener.filter_chains:
        proxy = chain.filters[0].typed_config.unpack()
        assert isinstance(proxy, TcpProxy)
        weighted = proxy.weighted_clusters
        clusters: Any = proxy.cluster
        if weighted is not None:
            clusters = [(each.name, each.weight) for each in weighted.clusters]
        match = chain.filter_chain_match
        found.append((match.to_dict() if match is not None else None, clusters))
    return found


def rule(body: str) -> str:
    return f"""\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: db, namespace: tutorial}}
spec:
  hosts: [db]
{body}
"""


def cluster(subset: str = "") -> str:
    return f"outbound|3306|{subset}|{HOST}"


def test_without_a_rule() -> None:
    assert chains("") == [(None, cluster())]


def test_weights_subnets_and_what_is_not_for_us() -> None:
    text = rule(
        """\
  tcp:
    - match: [{port: 1}]
      route: [{destination: {host: db, subset: v9}}]
    - match: [{sourceLabels: {app: other}}]
      route: [{destination: {host: db, subset: v9}}]
    - match: [{destinationSubnets: [10.1.0.0/16]}]
      route: [{destination: {host: db, subset: v1}}]
    - route:
        - {destination: {host: db, subset: v1}, weight: 90}
        - {destination: {host: db, subset: v2}, weight: 10}
        - {destination: {host: db, subset: v3}, weight: 0}
    - route: [{destination: {host: db, subset: v9}}]
"""
    )
    subnet = {"prefixRanges": [{"addressPrefix": "10.1.0.0", "prefixLen": 16}]}
    assert chains(text, labels={"app": "me"}) == [
        (subnet, cluster("v1")),
        (None, [(cluster("v1"), 90), (cluster("v2"), 10)]),
    ]
    assert chains(text, labels={"app": "other"}) == [(None, cluster("v9"))]


def test_server_names() -> None:
    text = rule(
        """\
  tls:
    - match: [{sniHosts: [a.test, b.test]}, {sniHosts: [c.test], port: 1}]
      route: [{destination: {host: db, subset: v1}}]
    - match: [{sniHosts: [b.test, "*.test"]}]
      route: [{destination: {host: db, subset: v2}}]
"""
    )
    assert chains(text, "tls") == [
        ({"serverNames": ["a.test", "b.test"]}, cluster("v1")),
        ({"serverNames": ["*.test"]}, cluster("v2")),
        (None, cluster()),
    ]
    assert chains(text, "tcp") == [(None, cluster())]
