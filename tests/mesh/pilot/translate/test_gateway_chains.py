"""A gateway's chains that are not HTTP ask the policies, too."""

from __future__ import annotations

from typing import Any

import pytest

from mesh.istio import load_text
from mesh.istio.eras import ISTIO_1_28
from mesh.pilot.node import ProxyNode
from mesh.pilot.registry import Registry
from mesh.pilot.translate import LDS, translate
from mesh.pilot.translate.view import MeshView
from mesh.topology import Port, Service

SERVER = """\
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: out, namespace: tutorial}
spec:
  selector: {istio: ingressgateway}
  servers: [{port: {number: 443, name: x, protocol: %s}, hosts: ["*"]%s}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: out, namespace: tutorial}
spec:
  hosts: [db.example]
  gateways: [out]
  %s: [{%s route: [{destination: {host: db, port: {number: 3306}}}]}]
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: who, namespace: istio-system}
spec:
  selector: {matchLabels: {istio: ingressgateway}}
  rules: [{when: [{key: connection.sni, values: [db.example]}]}]
"""
PASSED = ("TLS", ", tls: {mode: PASSTHROUGH}", "tls", "match: [{sniHosts: [db.example]}],")
RAW = ("TCP", "", "tcp", "")


@pytest.mark.parametrize("server", [PASSED, RAW], ids=["passthrough", "raw"])
def test_a_policy_stands_before_what_is_passed_on(server: tuple[str, ...]) -> None:
    registry = Registry()
    registry.add_service(Service("db", ports=(Port(3306, "tcp", "tcp"),)))
    view = MeshView(registry, tuple(load_text(SERVER % server, era=ISTIO_1_28).resources))
    me = ProxyNode(
        "gateway",
        "istio-system",
        labels={"istio": "ingressgateway"},
        gateway_ports={443: 7443},
    )
    (listener,) = [each for each in translate(view, me)[LDS].values() if "7443" in str(each)]
    chains: Any = listener.filter_chains
    names = [[each.name for each in chain.filters] for chain in chains]
    assert names == [["envoy.filters.network.rbac", "envoy.filters.network.tcp_proxy"]]
