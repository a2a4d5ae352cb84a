"""The filter chains of a gateway's port that is not plain HTTP: a chain for each server.

HTTPS servers share a port: the server name that the client asks for (SNI) chooses the chain, and with
it certificate and routes (``https.PORT.NAME.GATEWAY.NAMESPACE``).  PASSTHROUGH servers lead by the
``tls`` routes of VirtualServices, TCP servers (and TLS servers that end TLS) by their ``tcp`` routes.
Authorization policies hold for these, too, with what a connection has (``tcp_access_control``).
Source: istio/istio ``pilot/pkg/networking/core/gateway.go``.
Shown by ``meshctl proxy-config listener GATEWAY -o json``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from envoy_data_plane.envoy.config.accesslog.v3 import AccessLog
from envoy_data_plane.envoy.config.listener.v3 import Filter, FilterChain, FilterChainMatch
from envoy_data_plane.envoy.config.route.v3 import RouteConfiguration

from mesh.istio.models.gateway import Server
from mesh.pilot.node import ProxyNode
from mesh.pilot.translate import gateway, gateway_tls, tcp, tcp_access_control
from mesh.pilot.translate.view import MeshView

HTTPS, TLS, TCP = "HTTPS", "TLS", "TCP"
ALPN = ["h2", "http/1.1"]
Opened = tuple[str, Server]
MakeHttp = Callable[[str], Filter]
"""Name of a route configuration -> HTTP connection manager."""


def servers(view: MeshView, node: ProxyNode) -> dict[int, list[Opened]]:
    """Return the servers by port; a port that serves plain HTTP has none.

    ValueError for a mode that cannot be executed.
    """
    found: dict[int, list[Opened]] = {}
    plain = gateway.servers(view, node)
    for number, name, server in gateway.opened(view, node):
        if number not in plain and _protocol(server) in (HTTPS, TLS, TCP, "MONGO"):
            gateway_tls.refuse_unknown(name, server)
            found.setdefault(number, []).append((name, server))
    return found


def tables(view: MeshView, node: ProxyNode) -> list[RouteConfiguration]:
    """Return the route configurations of the HTTPS servers that end TLS (and have a certificate)."""
    return [
        gateway.table(view, node, port, route_name(port, opened), [opened])
        for port, all_opened in servers(view, node).items()
        for opened in all_opened
        if _is_http(opened[1]) and gateway_tls.socket(view, node, opened[1], ALPN) is not None
    ]


def route_name(port: int, opened: Opened) -> str:
    """Return Istio's name of an HTTPS server's routes."""
    namespace, _, name = opened[0].partition("/")
    return f"https.{port}.{opened[1].port.name or ''}.{name}.{namespace}"


def chains(
    view: MeshView,
    node: ProxyNode,
    port: int,
    all_opened: list[Opened],
    http: MakeHttp,
    log: AccessLog,
) -> list[FilterChain]:
    """Return the chains of one port; of those with equal conditions the first stays."""
    found: list[FilterChain] = []
    for opened in all_opened:
        found += _chains(view, node, port, opened, http, log)
    kept: dict[str, FilterChain] = {}
    for each in found:
        kept.setdefault(repr(each.filter_chain_match or FilterChainMatch()), each)
    return list(kept.values())


def _chains(
    view: MeshView,
    node: ProxyNode,
    port: int,
    opened: Opened,
    http: MakeHttp,
    log: AccessLog,
) -> list[FilterChain]:
    name, server = opened
    if _is_http(server):
        socket = gateway_tls.socket(view, node, server, ALPN)
        if socket is None:
            return []
        manager = http(route_name(port, opened))
        return [
            FilterChain(
                filter_chain_match=_by_name(server), filters=[manager], transport_socket=socket
            )
        ]
    bound = [each for each in view.bound_to(name) if gateway.common_hosts(each, server, name)]
    passed = _protocol(server) != TCP and gateway_tls.mode(server) == gateway_tls.PASSTHROUGH
    make = tcp.tls_chains if passed else tcp.tcp_chains
    made = [chain for each in bound for chain in make(view, each, node, name, port, log)]
    for chain in made:
        chain.filters = [*tcp_access_control.filters(view, node), *chain.filters]
    if passed or _protocol(server) == TCP:
        return made
    socket = gateway_tls.socket(view, node, server, [])
    if socket is None:
        return []
    match = _by_name(server)
    return [replace(each, filter_chain_match=match, transport_socket=socket) for each in made]


def needs_inspector(all_opened: list[Opened]) -> bool:
    """Whether a port has to look for the server name of TLS; raw TCP may have the server speak first."""
    return any(_protocol(server) in (HTTPS, TLS) for _, server in all_opened)


def _protocol(server: Server) -> str:
    return (server.port.protocol or "").upper()


def _is_http(server: Server) -> bool:
    """Whether the requests inside TLS are seen."""
    return _protocol(server) == HTTPS and gateway_tls.mode(server) != gateway_tls.PASSTHROUGH


def _by_name(server: Server) -> FilterChainMatch | None:
    names = [each.rpartition("/")[2] for each in server.hosts]
    return None if "*" in names else FilterChainMatch(server_names=names)
