"""Chains by server name for what applications encrypt themselves, and the tunnels that lead there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from envoy_data_plane.envoy.config.listener.v3 import FilterChain, Listener

from mesh.pilot.node import ProxyNode
from mesh.pilot.translate import CDS, LDS, RDS, translate
from mesh.pilot.translate.outbound_policy import BLACK_HOLE, PASSTHROUGH_TLS
from mesh.pilot.translate.view import MeshView

Make = Callable[..., MeshView]
WORLD = {"cnn.example:80": ("127.0.0.1", 11), "bin.example:443": ("127.0.0.1", 12)}
PORT = "  ports: [{number: 443, name: tls, protocol: TLS}]\n  resolution: DNS\n"
ENTRY = ("ServiceEntry", "cnn", "  hosts: [cnn.example, news.example]\n" + PORT)
RULES = (
    "VirtualService",
    "cnn",
    "  hosts: [cnn.example]\n  tls:\n"
    "  - match: [{port: 443, sniHosts: [cnn.example]}]\n"
    "    route: [{destination: {host: customer, port: {number: 8080}}}]\n",
)


def cluster(chain: FilterChain | None) -> str:
    assert chain is not None and chain.filters[0].typed_config is not None
    return str(chain.filters[0].typed_config.unpack().to_dict()["cluster"])


def chains(snapshot: Any) -> dict[str, str]:
    listener: Listener = snapshot[LDS]["0.0.0.0_443"]
    assert listener.internal_listener is not None
    found = {
        ",".join(each.filter_chain_match.server_names): cluster(each)
        for each in listener.filter_chains
        if each.filter_chain_match is not None
    }
    return {**found, "*": cluster(listener.default_filter_chain)}


def tunnels(snapshot: Any) -> dict[str, str]:
    return {
        each.name: route.route.cluster
        for each in snapshot[RDS]["http_proxy"].virtual_hosts
        for route in each.routes
        if route.match.connect_matcher is not None and route.route is not None
    }


def test_the_server_name_chooses(view: Make, node: ProxyNode) -> None:
    made = translate(view(ENTRY, world=WORLD), node)
    assert chains(made) == {
        "cnn.example": "outbound|443||cnn.example",
        "news.example": "outbound|443||news.example",
        "*": PASSTHROUGH_TLS,
    }
    assert tunnels(made)["cnn.example:443"] == "connect|443||"
    assert tunnels(made)["allow_any_443"] == "connect|443||"
    assert "connect|443||" in made[CDS]


def test_rules_lead_elsewhere(view: Make, node: ProxyNode) -> None:
    made = translate(view(ENTRY, RULES, world=WORLD, outbound_policy="REGISTRY_ONLY"), node)
    found = chains(made)
    assert found["cnn.example"] == "outbound|8080||customer.tutorial.svc.cluster.local"
    assert found["*"] == BLACK_HOLE
    assert "allow_any_443" not in tunnels(made)


def test_without_tls_there_is_no_listener(view: Make, node: ProxyNode) -> None:
    assert "0.0.0.0_443" not in translate(view(), node)[LDS]
