from __future__ import annotations

from collections.abc import Callable

from envoy_data_plane.envoy.config.cluster.v3 import Cluster
from envoy_data_plane.envoy.config.route.v3 import VirtualHost

from mesh.pilot.node import ProxyNode
from mesh.pilot.translate import CDS, RDS, translate
from mesh.pilot.translate.outbound_policy import BLACK_HOLE, PASSTHROUGH, unknown_hosts
from mesh.pilot.translate.view import MeshView

Make = Callable[..., MeshView]
WORLD = {
    "cnn.example:80": ("127.0.0.1", 11),
    "cnn.example:443": ("127.0.0.1", 12),
    "bin.example:8000": ("127.0.0.1", 13),
}
ENTRY = (
    "ServiceEntry",
    "cnn",
    "  hosts: [{host}]\n  resolution: {resolution}\n"
    "  ports:\n  - {{number: 80, name: http, protocol: HTTP}}\n"
    "  - {{number: 443, name: tls, protocol: TLS}}\n",
)


def table(view: MeshView, node: ProxyNode) -> list[VirtualHost]:
    return list(translate(view, node)[RDS]["http_proxy"].virtual_hosts)  # type: ignore[attr-defined]


def of(hosts: list[VirtualHost]) -> dict[str, list[str]]:
    return {each.name: each.domains for each in hosts}


def test_allow_any_reaches_the_names_of_the_world(view: Make, node: ProxyNode) -> None:
    found = of(table(view(world=WORLD), node))
    assert found["allow_any"] == ["bin.example:8000", "cnn.example:80", "cnn.example"]
    assert found["unresolved"] == ["*"]
    route = next(
        each for each in table(view(world=WORLD), node) if each.name == "allow_any"
    ).routes[0]
    assert route.route is not None
    assert (route.route.cluster, route.route.retry_policy) == (PASSTHROUGH, None)


def test_registry_only_blocks_them(view: Make, node: ProxyNode) -> None:
    found = of(table(view(world=WORLD, outbound_policy="REGISTRY_ONLY"), node))
    assert "allow_any" not in found and found["block_all"] == ["*"]


def test_a_service_entry_has_its_host_for_itself(view: Make, node: ProxyNode) -> None:
    for host, resolution in (("cnn.example", "DNS"), ("'*.example'", "NONE")):
        kind, name, spec = ENTRY
        made = view((kind, name, spec.format(host=host, resolution=resolution)), world=WORLD)
        found = of(table(made, node))
        plain = host.strip("'")
        assert found[f"{plain}:80"] == [plain, f"{plain}:80"]
        assert found[f"{plain}:443"] == [f"{plain}:443"]  # a way for tunnels only
        left = ["bin.example:8000"] if resolution == "DNS" else []
        assert [each for each in found.get("allow_any", []) if "cnn" in each] == []
        assert [each for each in left if each not in found["allow_any"]] == []
        clusters = translate(made, node)[CDS]
        assert f"outbound|80||{plain}" in clusters and f"outbound|443||{plain}" in clusters


def test_the_two_clusters_of_unknown_hosts(view: Make, node: ProxyNode) -> None:
    clusters = translate(view(world=WORLD), node)[CDS]
    hole, through = clusters[BLACK_HOLE], clusters[PASSTHROUGH]
    assert isinstance(hole, Cluster) and isinstance(through, Cluster)
    assert hole.load_assignment is not None and hole.load_assignment.endpoints == []
    assert through.load_assignment is not None
    [locality] = through.load_assignment.endpoints
    [endpoint] = locality.lb_endpoints
    assert endpoint.endpoint is not None and endpoint.endpoint.address is not None
    assert endpoint.endpoint.address.socket_address is not None
    assert endpoint.endpoint.address.socket_address.port_value == 13


def test_without_a_world_no_name_can_be_looked_up(view: Make) -> None:
    [host] = unknown_hosts(view(), ())
    assert host.routes[0].direct_response is not None
    assert host.routes[0].direct_response.status == 503
