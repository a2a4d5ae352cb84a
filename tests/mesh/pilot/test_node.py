from __future__ import annotations

import json

from envoy_data_plane.envoy.config.core.v3 import Node

from mesh.pilot.node import ProxyNode


def test_the_id_is_istios(node: ProxyNode, gateway: ProxyNode) -> None:
    domain = "tutorial.svc.cluster.local"
    assert node.id == f"sidecar~127.0.0.1~customer-v1-0.tutorial~{domain}"
    assert gateway.id.startswith("router~")


def test_xds_node_and_json_keep_everything(node: ProxyNode, gateway: ProxyNode) -> None:
    for each in (node, gateway):
        assert ProxyNode.from_xds(Node.parse(bytes(each.to_xds()))) == each
        assert ProxyNode.from_dict(json.loads(json.dumps(each.as_dict()))) == each


def test_a_foreign_node_is_none() -> None:
    assert ProxyNode.from_xds(Node(id="sidecar~1.2.3.4~a.b~b.svc.cluster.local")) is None
