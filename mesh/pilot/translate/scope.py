"""Scope: what one proxy gets to know of the mesh.

By default a sidecar knows every service that is exported to it, so a change anywhere is pushed
everywhere.  The resource Sidecar cuts that down: ``egress[].hosts`` (``namespace/host``, ``./*``,
``*/*``) says what it imports, ``outboundTrafficPolicy`` what happens to the rest,
``inboundConnectionPool`` how much the own application takes.  The Sidecar that holds: with a fitting
``workloadSelector``, else the namespace's, else the root namespace's.
What a VirtualService routes to is imported with it, without a name of its own.
An egress listener with a port has that port for itself.  Gateways know everything exported to them.
Source: istio/istio ``pilot/pkg/model/sidecar.go`` (ConvertToSidecarScope).
Shown by ``meshctl proxy-config cluster POD`` and ``meshctl proxy-config route POD``.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import cast

from mesh.istio.models.sidecar import IstioEgressListener, Sidecar
from mesh.pilot.node import ProxyNode
from mesh.pilot.registry import Registry
from mesh.pilot.translate import export_to, names
from mesh.pilot.translate.view import MESH, MeshView, OutboundPolicy, Routing
from mesh.topology import ROOT_NAMESPACE, Service

HTTP_PROXY = "HTTP_PROXY"


@dataclass(frozen=True, slots=True)
class Selected:
    """The Sidecar resource that holds for a proxy."""

    name: str
    namespace: str
    spec: Sidecar


def sidecar_of(view: MeshView, node: ProxyNode) -> Selected | None:
    """Return the Sidecar resource of ``node``; None when there is none, or it is a gateway."""
    if node.type != "sidecar":
        return None
    whole: dict[str, Selected] = {}
    for each in view.of_kind("Sidecar"):
        spec: Sidecar = each.spec
        found = Selected(each.name, each.namespace, spec)
        wanted = (spec.workload_selector.labels if spec.workload_selector else None) or {}
        if not wanted:
            whole.setdefault(each.namespace, found)
        elif each.namespace == node.namespace and wanted.items() <= node.labels.items():
            return found
    return whole.get(node.namespace) or whole.get(ROOT_NAMESPACE)


def key(view: MeshView, node: ProxyNode) -> Hashable:
    """Return what the scope of ``node`` depends on: equal keys, equal scopes."""
    sidecar = sidecar_of(view, node)
    chosen = (sidecar.namespace, sidecar.name) if sidecar else None
    labels = frozenset(node.labels.items()) if view.destination_rules.selects else None
    return node.namespace, node.type, chosen, labels, node.locality


def scoped(view: MeshView, node: ProxyNode) -> MeshView:
    """Return the view with only what ``node`` may know."""
    own = node.namespace
    services = {
        hostname: service
        for hostname, service in view.services.items()
        if export_to.visible(service.export_to, service.namespace, own)
    }
    routings = _ordered(view.virtual_services, own)
    sidecar = sidecar_of(view, node)
    policy, proxy, pool, unlisted = view.outbound_policy, None, None, frozenset[str]()
    if view.mesh_config.outbound_policy:
        policy = cast(OutboundPolicy, view.mesh_config.outbound_policy)
    if sidecar is not None:
        spec = sidecar.spec
        pool = spec.inbound_connection_pool
        if spec.outbound_traffic_policy is not None:
            policy = spec.outbound_traffic_policy.mode or "REGISTRY_ONLY"
            proxy = spec.outbound_traffic_policy.egress_proxy
        if spec.egress:
            routings = [each for each in routings if _imports(spec.egress, each, own)]
            listed = _import(spec.egress, services, own)
            routed = {
                hostname: services[hostname]
                for routing in routings
                for hostname in routing.destinations
                if hostname in services and hostname not in listed
            }
            services, unlisted = {**listed, **routed}, frozenset(routed)
    return replace(
        view,
        whole=view,
        registry=Registry(services, view.registry.pods, view.registry.draining),
        imported=tuple(routings),
        client=own,
        labels=node.labels,
        locality=node.locality,
        router=node.type == "router",
        outbound_policy=policy,
        egress_proxy=proxy,
        inbound_pool=pool,
        unlisted=unlisted,
    )


def _ordered(routings: Iterable[Routing], client: str) -> list[Routing]:
    """Return what ``client`` sees: its own private ones first, then what is exported, then public."""
    seen = [each for each in routings if export_to.visible(each.export_to, each.namespace, client)]
    return sorted(seen, key=lambda each: _rank(each, client))


def _rank(routing: Routing, client: str) -> int:
    named = export_to.namespaces(routing.export_to, routing.namespace)
    if routing.namespace == client and named == {client}:
        return 0
    return 2 if export_to.PUBLIC in named else 1


def _hosts(listener: IstioEgressListener, own: str) -> Mapping[str, list[str]]:
    """Return the host patterns of a listener by namespace."""
    found: dict[str, list[str]] = {}
    for text in listener.hosts:
        namespace, _, host = text.partition("/")
        found.setdefault(own if namespace == "." else namespace, []).append(host)
    return found


def _patterns(hosts: Mapping[str, list[str]], namespace: str) -> list[str]:
    """Return what is imported from a namespace."""
    return [*hosts.get(namespace, []), *hosts.get("*", [])]


def _port(listener: IstioEgressListener) -> int:
    """Return the port that a listener has for itself; 0 for all that is left."""
    if listener.port is None or (listener.port.protocol or "").upper() == HTTP_PROXY:
        return 0
    return listener.port.number or 0


def _import(
    listeners: list[IstioEgressListener], services: Mapping[str, Service], own: str
) -> dict[str, Service]:
    """Return the services that some listener imports, each with the ports it is imported for."""
    taken = {_port(each) for each in listeners} - {0}
    found: dict[str, Service] = {}
    for hostname, service in services.items():
        numbers: set[int] = set()
        for listener in listeners:
            patterns = _patterns(_hosts(listener, own), service.namespace)
            if not any(names.covers(each, hostname) for each in patterns):
                continue
            port, all_ports = _port(listener), {each.number for each in service.ports}
            numbers |= {port} & all_ports if port else all_ports - taken
        if numbers:
            ports = tuple(each for each in service.ports if each.number in numbers)
            found[hostname] = (
                service if len(ports) == len(service.ports) else replace(service, ports=ports)
            )
    return found


def _imports(listeners: list[IstioEgressListener], routing: Routing, own: str) -> bool:
    """True when a listener imports one of the hosts of a VirtualService of the mesh.

    A VirtualService for ``*.example`` is imported with ``a.example``, a HTTPRoute is not.
    """
    if MESH not in routing.gateways:
        return True
    return any(
        names.covers(pattern, host) or (not routing.gateway_api and names.covers(host, pattern))
        for listener in listeners
        for pattern in _patterns(_hosts(listener, own), routing.namespace)
        for host in routing.hosts
    )
