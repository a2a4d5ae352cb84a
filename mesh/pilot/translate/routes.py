"""RDS: the route tables of a sidecar's way out, a virtual host for each port of each service.

Where the application uses a proxy there is one table for all (``http_proxy``), where iptables
captures its connections one for each port, with that port's name (``8080``), as in Istio.
A request goes to the virtual host whose domain is its host (``recommendation:8080``), then to the
first route that matches.  Hosts that the registry does not know meet the outbound traffic policy
(``outbound_policy``).
Shown by ``meshctl proxy-config route POD``.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial

from envoy_data_plane.envoy.config.route.v3 import Route, RouteConfiguration, VirtualHost

from mesh.pilot.encode import encode, length_delimited
from mesh.pilot.memo import note
from mesh.pilot.node import NODE, ProxyNode
from mesh.pilot.translate import (
    connect,
    dtab,
    name_table,
    names,
    outbound_policy,
    outside_tls,
    peer_metadata,
    virtual_service,
)
from mesh.pilot.translate.blocks import Block
from mesh.pilot.translate.routing import MESH, Routing
from mesh.pilot.translate.service_entry import EntryService
from mesh.pilot.translate.view import MeshView
from mesh.topology import Service

HTTP_PROXY = "http_proxy"
"""Name of the outbound listener and of its route configuration, as in Istio."""
_VIRTUAL_HOSTS = 2
"""Number of the field in Envoy's message RouteConfiguration."""
HTTP = ("http", "http2", "grpc", "grpc-web")


@dataclass(frozen=True, slots=True)
class _Written:
    """A virtual host in wire format, and its domains."""

    content: bytes
    domains: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Block:
    """The virtual hosts of a block of services, also as fields of their table."""

    hosts: tuple[_Written, ...]
    content: bytes
    domains: frozenset[str]


def http_proxy(view: MeshView, node: ProxyNode) -> bytes:
    """Return the outbound route configuration of a sidecar that is its application's proxy, written.

    A virtual host is written once and not again because another one changed: fields of one number
    that follow each other are a list.
    """
    fields = [encode(RouteConfiguration(name=HTTP_PROXY))]
    taken: set[str] = set()
    for names_of_block in view.blocks:
        made = partial(_of_block, view, node, names_of_block)
        block = view.ask("virtual hosts of a block", (node.id, names_of_block), made)
        free = taken.isdisjoint(block.domains)
        fields.append(block.content if free else _fields(block.hosts, taken))
        taken |= block.domains
    more = _virtual_only(view, node, taken)
    more += outbound_policy.unknown_hosts(view, taken)
    for each in more:
        peer_metadata.announce(view, node, each)
        fields.append(length_delimited(_VIRTUAL_HOSTS, encode(each)))
    fields.append(encode(RouteConfiguration(validate_clusters=False)))
    return b"".join(fields)


def _of_block(view: MeshView, node: ProxyNode, block: Block) -> _Block:
    """Return the virtual hosts of a block of services."""
    hosts: list[_Written] = []
    for hostname in block:
        made = partial(_of_service, view, node, hostname)
        hosts += view.ask("virtual hosts", (node.id, hostname), made)
    domains: set[str] = set()
    content = _fields(hosts, domains)
    return _Block(tuple(hosts), content, frozenset(domains))


def _fields(hosts: Iterable[_Written], taken: set[str]) -> bytes:
    """Return virtual hosts as fields of their table, without domains that are ``taken``."""
    fields: list[bytes] = []
    for host in hosts:
        content = host.content
        if not taken.isdisjoint(host.domains):
            rest = VirtualHost.parse(content)
            rest.domains = [domain for domain in rest.domains if domain not in taken]
            content = encode(rest)
        taken.update(host.domains)
        fields.append(length_delimited(_VIRTUAL_HOSTS, content))
    return b"".join(fields)


def captured(view: MeshView, node: ProxyNode) -> list[RouteConfiguration]:
    """Return the route configurations of a sidecar to which connections are redirected."""
    return [_of_port(view, node, number) for number in http_ports(view)]


def http_ports(view: MeshView) -> list[int]:
    """Return the ports at which a sidecar expects HTTP; 80, which some service has in any cluster."""
    found = {
        port.number for service in view.listed() for port in service.ports if port.protocol in HTTP
    }
    return sorted(found | {80})


def _of_port(view: MeshView, node: ProxyNode, number: int) -> RouteConfiguration:
    hosts: list[VirtualHost] = []
    taken: set[str] = set()
    for service in view.listed():
        if any(each.number == number and each.protocol in HTTP for each in service.ports):
            host = _virtual_host(view, node, service, number)
            own = name_table.addresses(view, service)
            domains = names.domains(service.hostname, node.namespace, number, True, own)
            host.domains = [domain for domain in domains if domain not in taken]
            taken.update(host.domains)
            hosts.append(host)
    if number == 80:
        hosts.extend(_virtual_only(view, node, taken))
    hosts.extend(outbound_policy.unknown_hosts(view, taken))
    for host in hosts:
        host.routes = [each for each in host.routes if each.name != connect.NAME]
        peer_metadata.announce(view, node, host)
    return RouteConfiguration(name=str(number), virtual_hosts=hosts, validate_clusters=False)


def _of_service(view: MeshView, node: ProxyNode, hostname: str) -> list[_Written]:
    """Return the virtual hosts of a service's ports."""
    note((NODE, node.id))
    service = view.service(hostname)
    found: list[_Written] = []
    if service is None or view.unlisted(hostname):
        return found
    for port in service.ports:
        tunnel = connect.route(node, hostname, port.number, http=port.protocol in HTTP)
        if outside_tls.applies(view, hostname, port.number):
            tunnel = [connect.by_server_name(port.number)]
        host = _virtual_host(view, node, service, port.number)
        if isinstance(service, EntryService) and port.protocol not in HTTP:
            if not tunnel:
                continue  # a connection, not a request: see the listeners
            host.routes = []
        host.routes = [*host.routes, *tunnel]
        peer_metadata.announce(view, node, host)
        found.append(_Written(encode(host), tuple(host.domains)))
    return found


def _virtual_host(view: MeshView, node: ProxyNode, service: Service, port: int) -> VirtualHost:
    numbers = [each.number for each in service.ports]
    outside = service if isinstance(service, EntryService) else None
    portless = port == (80 if 80 in numbers or outside else numbers[0])

    def own(which: Service, number: int) -> list[Route]:
        return _routes(view, node, which, number)

    return VirtualHost(
        name=f"{service.hostname}:{port}",
        domains=names.domains(
            service.hostname,
            node.namespace,
            port,
            portless,
            outside.addresses if outside else (),
        ),
        routes=[*dtab.routes(view, service, port, own), *own(service, port)],
        include_request_attempt_count=True,
    )


def _routes(view: MeshView, node: ProxyNode, service: Service, port: int) -> list[Route]:
    routing = view.virtual_service(service.hostname, node.namespace)
    routes = virtual_service.routes(view, routing, node, MESH, port) if routing else []
    if not routes:
        # None at all, or none of its rules is for this sidecar (port, sourceLabels).
        cluster = names.outbound(port, "", service.hostname)
        routes = [virtual_service.default_route(view, cluster)]
    return routes


def _virtual_only(view: MeshView, node: ProxyNode, taken: set[str]) -> list[VirtualHost]:
    """Return virtual hosts of names that exist in a VirtualService only (port 80, as in Istio)."""
    found: list[VirtualHost] = []
    for routing, host in view.ask("virtual only", None, partial(_without_service, view)):
        if host in taken:
            continue
        domains = [host] if host.startswith("*") else names.domains(host, node.namespace, 80, True)
        domains = [domain for domain in domains if domain not in taken]
        taken.update(domains)
        routes = [*virtual_service.routes(view, routing, node, MESH, 80), connect.inside()]
        found.append(
            VirtualHost(
                name=f"{host}:80",
                domains=domains,
                routes=routes,
                include_request_attempt_count=True,
            )
        )
    return found


def _without_service(view: MeshView) -> list[tuple[Routing, str]]:
    """Return the hosts of VirtualServices that are no service's."""
    return [
        (routing, host)
        for routing in view.virtual_services
        if routing.spec.http and not routing.gateway_api
        for host in routing.hosts
        if host != "*" and view.service(host) is None
    ]
