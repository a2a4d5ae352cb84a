from __future__ import annotations

from collections.abc import Callable

from envoy_data_plane.envoy.config.route.v3 import RouteConfiguration

from mesh.pilot.node import ProxyNode
from mesh.pilot.translate import RDS, translate
from mesh.pilot.translate.view import MeshView

Make = Callable[..., MeshView]
GATEWAY = (
    "Gateway",
    "gw",
    "  selector: {istio: ingressgateway}\n  servers:\n"
    "  - {port: {number: 80, name: http, protocol: HTTP}, hosts: ['*']}",
)
BOUND = (
    "VirtualService",
    "customer",
    "  hosts: ['*']\n  gateways: [gw]\n  http:\n  - match: [{uri: {prefix: /customer}}]\n"
    "    rewrite: {uri: /}\n    route: [{destination: {host: customer, port: {number: 8080}}}]",
)


def table(view: MeshView, node: ProxyNode, name: str) -> RouteConfiguration:
    found = translate(view, node)[RDS][name]
    assert isinstance(found, RouteConfiguration)
    return found


def test_unknown_hosts_meet_the_outbound_policy(view: Make, node: ProxyNode) -> None:
    for policy, name, status in (
        ("REGISTRY_ONLY", "block_all", 502),
        ("ALLOW_ANY", "unresolved", 503),
    ):
        last = table(view(outbound_policy=policy), node, "http_proxy").virtual_hosts[-1]
        assert (last.name, last.domains, last.routes[0].name) == (name, ["*"], name)
        assert last.routes[0].direct_response is not None
        assert last.routes[0].direct_response.status == status


def test_domains_are_unique_in_a_table(view: Make, node: ProxyNode) -> None:
    hosts = table(view(), node, "http_proxy").virtual_hosts
    domains = [domain for host in hosts for domain in host.domains]
    assert len(domains) == len(set(domains))


def test_a_gateway_routes_by_the_virtual_services_bound_to_it(
    view: Make, gateway: ProxyNode
) -> None:
    [host] = table(view(GATEWAY, BOUND), gateway, "http.80").virtual_hosts
    assert host.domains == ["*"]
    assert host.routes[0].route is not None
    assert host.routes[0].route.cluster == "outbound|8080||customer.tutorial.svc.cluster.local"


def test_a_virtual_service_of_the_gateway_is_not_for_sidecars(view: Make, node: ProxyNode) -> None:
    names = [host.name for host in table(view(GATEWAY, BOUND), node, "http_proxy").virtual_hosts]
    assert "*:80" not in names


def test_a_gateway_without_virtual_services_answers_404(view: Make, gateway: ProxyNode) -> None:
    [host] = table(view(GATEWAY), gateway, "http.80").virtual_hosts
    assert (host.domains, host.routes) == (["*"], [])


def test_without_a_gateway_resource_there_is_no_listener(view: Make, gateway: ProxyNode) -> None:
    assert translate(view(), gateway)[RDS] == {}
