"""Gateway: where traffic enters the mesh.

A Gateway (``spec.selector`` picks the pods, ``spec.servers`` the ports and hosts) opens a
listener; VirtualServices that name it under ``gateways`` say where requests go.  A gateway's pod
is an Envoy without an application.  Without a VirtualService every request is answered 404.
``tls.httpsRedirect`` answers every plain request with a redirect (301) to https.
The Gateway API's Gateways arrive here as Istio's (``mesh.istio.gateway_api``).
Shown by ``meshctl proxy-config listener GATEWAY``.
"""

from __future__ import annotations

from envoy_data_plane.envoy.config.route.v3 import (
    Route,
    RouteConfiguration,
    VirtualHost,
    VirtualHostTlsRequirementType,
)

from mesh.istio.models.gateway import Server
from mesh.pilot.node import ProxyNode
from mesh.pilot.translate import http_match, local_rate_limit, names, peer_metadata, virtual_service
from mesh.pilot.translate.routing import Routing
from mesh.pilot.translate.view import MeshView

_SERVICE_PORTS = {8080: 80, 8443: 443}
"""The ingress gateway's Service leads 80 to 8080 and 443 to 8443, and a server may name either
(istio/istio ``pilot/pkg/model/gateway.go``, MergeGateways)."""


def servers(view: MeshView, node: ProxyNode) -> dict[int, list[tuple[str, Server]]]:
    """Return the HTTP servers of a router node by port: (``namespace/name`` of Gateway, server)."""
    found: dict[int, list[tuple[str, Server]]] = {}
    for number, name, server in opened(view, node):
        if (server.port.protocol or "HTTP").upper() in ("HTTP", "HTTP2", "GRPC"):
            found.setdefault(number, []).append((name, server))
    for number, shared in found.items():
        # A Gateway of the Gateway API runs in pods of its own in a real mesh: where this pod plays
        # one, a port is its alone.
        own = [each for each in shared if each[0] in view.gateway_api.gateways]
        found[number] = own or shared
    return found


def opened(view: MeshView, node: ProxyNode) -> list[tuple[int, str, Server]]:
    """Return all servers of a router node: (port, ``namespace/name`` of the Gateway, server)."""
    found = []
    for name, gateway in view.gateways.items():
        if not (gateway.selector or {}).items() <= node.labels.items():
            continue
        for server in gateway.servers or []:
            number = server.port.number or 0
            if number not in node.gateway_ports:
                number = _SERVICE_PORTS.get(number, number)
            if number in node.gateway_ports:
                found.append((number, name, server))
    return found


def route_name(port: int) -> str:
    """Return the name of the route configuration of a gateway port."""
    return f"http.{port}"


def route_configuration(view: MeshView, node: ProxyNode, port: int) -> RouteConfiguration:
    """Return the routes of one gateway port that serves plain HTTP."""
    return table(view, node, port, route_name(port), servers(view, node).get(port, []))


def table(
    view: MeshView,
    node: ProxyNode,
    port: int,
    name: str,
    opened_here: list[tuple[str, Server]],
) -> RouteConfiguration:
    """Return the routes of servers: VirtualServices of one host are joined in order."""
    by_host: dict[str, list[Route]] = {}
    redirected: set[str] = set()
    for gateway, server in opened_here:
        if server.tls is not None and server.tls.https_redirect:
            # Nothing but the way to HTTPS, also for hosts that no VirtualService has.
            redirected.update(each.rpartition("/")[2] for each in server.hosts)
        for routing in view.bound_to(gateway):
            routes = virtual_service.routes(view, routing, node, gateway, port)
            for host in common_hosts(routing, server, gateway):
                by_host.setdefault(host, []).extend(routes)
    by_host |= {host: [] for host in sorted(redirected) if host not in by_host}
    hosts = [_virtual_host(host, port, routes) for host, routes in by_host.items()]
    for each in hosts:
        if any(names.covers(pattern, each.domains[0]) for pattern in redirected):
            each.require_tls = VirtualHostTlsRequirementType.ALL
    for each in hosts:
        peer_metadata.announce(view, node, each)
    if not hosts:
        hosts = [VirtualHost(name=f"blackhole:{port}", domains=["*"])]
    made = RouteConfiguration(
        name=name,
        virtual_hosts=hosts,
        validate_clusters=False,
        ignore_port_in_host_matching=True,
    )
    return local_rate_limit.merge(made, view, node, local_rate_limit.GATEWAY, port)


def _virtual_host(host: str, port: int, routes: list[Route]) -> VirtualHost:
    """Join the routes of several VirtualServices: those that match everything come last."""
    rest = [each for each in routes if not _matches_everything(each)]
    last = [each for each in routes if _matches_everything(each)][:1]
    return VirtualHost(
        name=f"{host}:{port}",
        domains=[host],
        routes=rest + last,
        include_request_attempt_count=True,
    )


def _matches_everything(route: Route) -> bool:
    return route.match is not None and http_match.is_catch_all(route.match)


def common_hosts(routing: Routing, server: Server, gateway: str) -> list[str]:
    """Return the hosts that both allow; the narrower name of each pair."""
    own = gateway.partition("/")[0]
    found: list[str] = []
    for pattern in server.hosts:
        namespace, _, name = pattern.rpartition("/")
        allowed = namespace if namespace != "." else own
        if allowed and allowed not in ("*", routing.namespace):
            continue
        for host in routing.hosts:
            narrow = host if names.covers(name, host) else name if names.covers(host, name) else ""
            if narrow and narrow not in found:
                found.append(narrow)
    return found
