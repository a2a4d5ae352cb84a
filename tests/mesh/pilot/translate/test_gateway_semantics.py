"""HTTPRoutes in Envoy's words, and beside VirtualServices."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from envoy_data_plane.envoy.config.route.v3 import (
    Route,
    RouteActionClusterNotFoundResponseCode,
    RouteConfiguration,
)

from mesh.istio import has_errors, load_text
from mesh.istio.eras import ISTIO_1_28
from mesh.pilot.node import ProxyNode
from mesh.pilot.proxy_config import routes
from mesh.pilot.registry import Registry
from mesh.pilot.translate import RDS, translate
from mesh.pilot.translate.view import MeshView

API = "apiVersion: gateway.networking.k8s.io/v1\n"
GATEWAY = (
    f"---\n{API}kind: Gateway\nmetadata: {{name: shop}}\nspec:\n  gatewayClassName: istio\n"
    "  listeners: [{name: http, port: 80, protocol: HTTP}]\n"
)
SERVICE = '{group: "", kind: Service, name: recommendation%s}'
ISTIO = """\
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: shop}
spec:
  selector: {istio: ingressgateway}
  servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ['*']}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: first}
spec: {hosts: ['*'], gateways: [shop], http: [{name: first, route: [{destination: {host: customer}}]}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: second}
spec:
  hosts: ['*']
  gateways: [shop]
  http:
    - {name: second, match: [{uri: {prefix: /x}}], route: [{destination: {host: customer}}]}
    - {name: rest, route: [{destination: {host: customer}}]}
"""


def route(rules: str, parent: str = "{name: shop}", namespace: str = "tutorial") -> str:
    meta = f"{{name: r, namespace: {namespace}}}"
    return f"---\n{API}kind: HTTPRoute\nmetadata: {meta}\nspec: {{parentRefs: [{parent}], rules: {rules}}}\n"


@pytest.fixture
def table(registry: Registry) -> Callable[..., RouteConfiguration]:
    def make(node: ProxyNode, *texts: str) -> RouteConfiguration:
        loaded = load_text("".join(texts), "f.yaml", era=ISTIO_1_28, namespace="tutorial")
        assert not has_errors(loaded.problems), [str(each) for each in loaded.problems]
        found = translate(MeshView(registry, tuple(loaded.resources)), node)[RDS]
        (only,) = found.values()
        assert isinstance(only, RouteConfiguration)
        return only

    return make


def routes_of(table: RouteConfiguration, name: str) -> list[Route]:
    return next(each for each in table.virtual_hosts if each.name.startswith(name)).routes[:-1]


Table = Callable[..., RouteConfiguration]
BACKEND = "backendRefs: [{name: customer, port: 8080}]"


def test_prefixes_end_at_a_slash(table: Table, node: ProxyNode) -> None:
    rules = f"[{{matches: [{{path: {{value: /a/}}}}, {{path: {{value: /}}}}], {BACKEND}}}]"
    longer, everything = routes_of(table(node, route(rules, SERVICE % "")), "recommendation")
    assert longer.match is not None
    assert (longer.match.path_separated_prefix, longer.match.prefix) == ("/a", None)
    assert everything.match is not None
    assert everything.match.prefix == "/"


def test_a_backend_that_is_not_there_is_500(table: Table, node: ProxyNode) -> None:
    rules = "[{backendRefs: [{name: nobody, port: 80}, {kind: Bucket, name: b}]}]"
    (only,) = routes_of(table(node, route(rules, SERVICE % "")), "recommendation")
    assert only.route is not None
    assert only.route.weighted_clusters is not None
    names = [each.name for each in only.route.weighted_clusters.clusters]
    assert names == ["outbound|80||nobody.tutorial.svc.cluster.local", "UnknownService"]
    code = only.route.cluster_not_found_response_code
    assert code == RouteActionClusterNotFoundResponseCode.INTERNAL_SERVER_ERROR


def test_a_prefix_that_is_taken_away(table: Table, node: ProxyNode) -> None:
    change = "{path: {type: ReplacePrefixMatch, replacePrefixMatch: /}}"
    match = "matches: [{path: {value: /a.b}}]"
    rewrite = f"[{{{match}, filters: [{{type: URLRewrite, urlRewrite: {change}}}], {BACKEND}}}]"
    (only,) = routes_of(table(node, route(rewrite, SERVICE % "")), "recommendation")
    assert only.route is not None
    assert only.route.regex_rewrite is not None
    assert only.route.regex_rewrite.pattern is not None
    assert only.route.regex_rewrite.pattern.regex == r"^/a\.b/?(.*)"
    assert only.route.prefix_rewrite == ""
    redirect = f"[{{{match}, filters: [{{type: RequestRedirect, requestRedirect: {change}}}]}}]"
    (only,) = routes_of(table(node, route(redirect, SERVICE % "")), "recommendation")
    assert only.redirect is not None
    assert only.redirect.regex_rewrite is not None
    assert only.redirect.prefix_rewrite is None


def test_where_a_route_comes_from(table: Table, node: ProxyNode) -> None:
    (only,) = routes_of(table(node, route(f"[{{{BACKEND}}}]", SERVICE % "")), "recommendation")
    assert only.metadata is not None
    config = only.metadata.filter_metadata["istio"].to_dict()["config"]
    assert config == "/apis/gateway.networking.k8s.io/v1/namespaces/tutorial/http-route/r"


def test_a_port_that_the_route_is_not_for_has_the_default(table: Table, node: ProxyNode) -> None:
    rules = f"[{{name: mine, {BACKEND}}}]"
    (only,) = routes_of(table(node, route(rules, SERVICE % ", port: 8080")), "recommendation")
    assert only.name == "mine"
    (only,) = routes_of(table(node, route(rules, SERVICE % ", port: 9090")), "recommendation")
    assert only.name == "default"


def test_routes_of_another_namespace_are_for_its_callers(table: Table, node: ProxyNode) -> None:
    parent = SERVICE % ", namespace: tutorial"
    theirs = route("[{name: theirs}]", parent, "elsewhere")
    own = route("[{name: own}]", parent)
    (only,) = routes_of(table(node, theirs), "recommendation")
    assert only.name == "default"
    (only,) = routes_of(table(node, theirs, own), "recommendation")
    assert only.name == "own"
    caller = ProxyNode("c", "elsewhere", outbound_port=1)
    (only,) = routes_of(table(caller, own, theirs), "recommendation")
    assert only.name == "theirs"


def test_a_service_that_is_not_there_gets_no_virtual_host(table: Table, node: ProxyNode) -> None:
    parent = '{group: "", kind: Service, name: nobody}'
    names = [each.name for each in table(node, route("[{}]", parent)).virtual_hosts]
    assert not [name for name in names if name.startswith("nobody")]


def test_a_gateway_of_the_gateway_api_has_its_port_alone(table: Table, gateway: ProxyNode) -> None:
    (host,) = table(gateway, ISTIO, GATEWAY, route("[{name: mine}]")).virtual_hosts
    assert [each.name for each in host.routes] == ["mine"]


def test_virtual_services_of_one_host_at_a_gateway(table: Table, gateway: ProxyNode) -> None:
    (host,) = table(gateway, ISTIO).virtual_hosts
    assert [each.name for each in host.routes] == ["second", "first"]


def test_a_virtual_service_of_which_nothing_is_for_this_sidecar(
    table: Table, node: ProxyNode
) -> None:
    text = """\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: recommendation}
spec:
  hosts: [recommendation]
  http: [{match: [{sourceLabels: {app: other}}], route: [{destination: {host: customer}}]}]
"""
    (only,) = routes_of(table(node, text), "recommendation")
    assert only.name == "default"


def test_how_meshctl_shows_a_prefix(registry: Registry, node: ProxyNode) -> None:
    rules = f"[{{matches: [{{path: {{value: /a}}}}], {BACKEND}}}]"
    loaded = load_text(route(rules, SERVICE % ""), era=ISTIO_1_28, namespace="tutorial")
    snapshot = translate(MeshView(registry, tuple(loaded.resources)), node)
    assert ["PathPrefix:/a", "r.tutorial"] in [row[3:] for row in routes(snapshot)]
