from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from mesh.istio import Resource, load_text
from mesh.istio.eras import ISTIO_1_28
from mesh.pilot.node import ProxyNode
from mesh.pilot.registry import Registry
from mesh.pilot.translate import CDS, RDS, Translator, translate
from mesh.pilot.translate.scope import key, scoped
from mesh.pilot.translate.view import MeshView
from mesh.topology import Port, Service

Make = Callable[..., MeshView]
SHOP = "shop.sales.svc.cluster.local"
OWN = ["customer.tutorial.svc.cluster.local", "recommendation.tutorial.svc.cluster.local"]


@pytest.fixture
def registry(registry: Registry) -> Registry:
    registry.add_service(Service("shop", "sales", (Port(8080), Port(9090, "http-admin"))))
    return registry


def made(registry: Registry, *documents: tuple[str, str, str, str]) -> MeshView:
    """``documents``: (kind, namespace, name, spec in YAML's flow style)."""
    resources: list[Resource] = []
    for kind, namespace, name, spec in documents:
        text = (
            f"apiVersion: networking.istio.io/v1\nkind: {kind}\n"
            f"metadata: {{name: {name}, namespace: {namespace}}}\nspec: {spec}\n"
        )
        resources += load_text(text, f"{name}.yaml", era=ISTIO_1_28).resources
    assert len(resources) == len(documents)
    return MeshView(registry, tuple(resources))


def sidecar(
    spec: str, namespace: str = "tutorial", name: str = "default"
) -> tuple[str, str, str, str]:
    return ("Sidecar", namespace, name, spec)


def known(view: MeshView, node: ProxyNode) -> list[str]:
    return sorted(scoped(view, node).services)


def hosts(view: MeshView, node: ProxyNode) -> set[str]:
    return {each.name for each in translate(view, node)[RDS]["http_proxy"].virtual_hosts}  # type: ignore[attr-defined]


def test_without_a_sidecar_resource_everything_is_known(
    registry: Registry, node: ProxyNode
) -> None:
    assert known(made(registry), node) == [*OWN, SHOP]


@pytest.mark.parametrize(
    ("exported", "seen"), [((), True), (("*",), True), ((".",), False), (("~",), False)]
)
def test_a_service_is_known_where_it_is_exported(
    registry: Registry, node: ProxyNode, exported: tuple[str, ...], seen: bool
) -> None:
    registry.add_service(replace(registry.services[SHOP], export_to=exported))
    assert (SHOP in known(made(registry), node)) is seen
    own = replace(node, namespace="sales")
    assert (SHOP in known(made(registry), own)) is (exported != ("~",))


@pytest.mark.parametrize(
    ("egress", "expected"),
    [
        ("'./*'", OWN),
        ("'sales/*'", [SHOP]),
        ("'*/*'", [*OWN, SHOP]),
        ("'~/*'", []),
        ("'./customer.tutorial.svc.cluster.local'", OWN[:1]),
        (
            "'*/*.sales.svc.cluster.local', './recommendation.tutorial.svc.cluster.local'",
            [OWN[1], SHOP],
        ),
    ],
)
def test_egress_hosts(
    registry: Registry, node: ProxyNode, egress: str, expected: list[str]
) -> None:
    view = made(registry, sidecar(f"{{egress: [{{hosts: [{egress}]}}]}}"))
    assert known(view, node) == expected


def test_an_egress_listener_has_its_port_for_itself(registry: Registry, node: ProxyNode) -> None:
    spec = (
        "{egress: [{port: {number: 9090, protocol: HTTP, name: http}, hosts: ['sales/*']},"
        " {hosts: ['./*']}]}"
    )
    view = scoped(made(registry, sidecar(spec)), node)
    assert [port.number for port in view.services[SHOP].ports] == [9090]
    spec = "{egress: [{port: {number: 9090, protocol: HTTP, name: http}, hosts: ['./*']}, {hosts: ['*/*']}]}"
    view = scoped(made(registry, sidecar(spec)), node)
    assert [port.number for port in view.services[SHOP].ports] == [8080]


def test_which_sidecar_holds(registry: Registry, node: ProxyNode) -> None:
    root = sidecar("{egress: [{hosts: ['~/*']}]}", "istio-system")
    own = sidecar("{egress: [{hosts: ['./*']}]}")
    for_us = sidecar(
        "{workloadSelector: {labels: {app: customer}}, egress: [{hosts: ['sales/*']}]}", name="us"
    )
    for_others = sidecar(
        "{workloadSelector: {labels: {app: other}}, egress: [{hosts: ['*/*']}]}", name="others"
    )
    assert known(made(registry, root), node) == []
    assert known(made(registry, root, own, for_others), node) == OWN
    assert known(made(registry, root, own, for_us), node) == [SHOP]
    gateway = replace(node, type="router")
    assert known(made(registry, root, own), gateway) == [*OWN, SHOP]


def test_the_outbound_policy_of_a_sidecar(registry: Registry, node: ProxyNode) -> None:
    for spec, policy in (
        ("{egress: [{hosts: ['*/*']}]}", "ALLOW_ANY"),
        ("{outboundTrafficPolicy: {mode: REGISTRY_ONLY}}", "REGISTRY_ONLY"),
        ("{outboundTrafficPolicy: {}}", "REGISTRY_ONLY"),
    ):
        assert scoped(made(registry, sidecar(spec)), node).policy == policy


def test_an_egress_proxy_takes_unknown_hosts(registry: Registry, node: ProxyNode) -> None:
    proxy = "egressProxy: {host: shop.sales.svc.cluster.local, port: {number: 8080}}"
    spec = f"{{outboundTrafficPolicy: {{mode: ALLOW_ANY, {proxy}}}}}"
    table = translate(made(registry, sidecar(spec)), node)[RDS]["http_proxy"]
    route = table.virtual_hosts[-1].routes[0]  # type: ignore[attr-defined]
    assert (route.name, route.route.cluster) == ("allow_any", f"outbound|8080||{SHOP}")


ROUTE = f"{{hosts: [customer], http: [{{route: [{{destination: {{host: {SHOP}, port: {{number: 8080}}}}}}]}}]}}"


def test_what_a_virtual_service_routes_to_has_a_cluster_but_no_name(
    registry: Registry, node: ProxyNode
) -> None:
    own = sidecar("{egress: [{hosts: ['./*']}]}")
    view = made(registry, own, ("VirtualService", "tutorial", "vs", ROUTE))
    assert f"outbound|8080||{SHOP}" in translate(view, node)[CDS]
    assert not [each for each in hosts(view, node) if each.startswith("shop")]
    without = made(registry, own)
    assert f"outbound|8080||{SHOP}" not in translate(without, node)[CDS]


def test_a_virtual_service_that_is_not_imported_does_not_hold(
    registry: Registry, node: ProxyNode
) -> None:
    vs = ("VirtualService", "sales", "vs", ROUTE.replace("[customer]", "[shop]"))
    assert scoped(made(registry, vs), node).virtual_service(SHOP, "tutorial") is not None
    view = made(registry, vs, sidecar("{egress: [{hosts: ['./*']}]}"))
    assert scoped(view, node).virtual_service(SHOP, "tutorial") is None


def test_a_private_virtual_service_is_for_its_namespace_and_goes_first(
    registry: Registry, node: ProxyNode
) -> None:
    shop = ROUTE.replace("[customer]", f"[{SHOP}]")
    public = ("VirtualService", "sales", "public", shop)
    private = ("VirtualService", "tutorial", "private", shop[:-1] + ", exportTo: ['.']}")
    view = made(registry, public, private)
    for namespace, name in (("tutorial", "private"), ("sales", "public")):
        found = scoped(view, replace(node, namespace=namespace)).virtual_service(SHOP, namespace)
        assert found is not None and found.name == name


def test_equal_scopes_share_their_clusters(registry: Registry, node: ProxyNode) -> None:
    view = made(registry, sidecar("{egress: [{hosts: ['./*']}]}"))
    other = replace(node, pod="other", labels={"app": "other"})
    assert key(view, node) == key(view, other)
    assert key(view, node) != key(view, replace(node, namespace="sales"))
    translator = Translator(view)
    name = f"outbound|8080||{OWN[0]}"
    one, two = translator.snapshot(node)[CDS][name], translator.snapshot(other)[CDS][name]
    assert one is two


def test_the_inbound_connection_pool_of_a_sidecar(registry: Registry, node: ProxyNode) -> None:
    pool = "{inboundConnectionPool: {tcp: {maxConnections: 7}}}"
    cluster = translate(made(registry, sidecar(pool)), node)[CDS]["inbound|8080||"]
    assert cluster.circuit_breakers.thresholds[0].max_connections == 7  # type: ignore[attr-defined]
