"""TCP and TLS routes: connections that are not opened, on a local listener for each port.

A VirtualService's ``tcp`` rules choose by port and ``destinationSubnets``, its ``tls`` rules by the
server name that a TLS client asks for (``sniHosts``); the first rule that fits counts, weights
are drawn for each connection.  A port is TLS when its protocol is ``tls`` or ``https``.  Without
a rule the connection goes to all pods of the service.
On this machine a sidecar has a port of its own for each TCP port of the mesh, and tells the
application by ``NAME_SERVICE_HOST`` and ``NAME_SERVICE_PORT``, as Kubernetes does.
Source: istio/istio ``pilot/pkg/networking/core/tls.go``
(buildSidecarOutboundTCPTLSFilterChainOpts).
Shown by ``meshctl proxy-config listener POD -o json``.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from typing import Protocol

from envoy_data_plane.envoy.config.accesslog.v3 import AccessLog
from envoy_data_plane.envoy.config.core.v3 import CidrRange, TrafficDirection
from envoy_data_plane.envoy.config.listener.v3 import (
    Filter,
    FilterChain,
    FilterChainMatch,
    Listener,
    ListenerFilter,
)
from envoy_data_plane.envoy.extensions.filters.listener.tls_inspector.v3 import TlsInspector
from envoy_data_plane.envoy.extensions.filters.network.tcp_proxy.v3 import (
    TcpProxy,
    TcpProxyWeightedCluster,
    TcpProxyWeightedClusterClusterWeight,
)

from mesh.istio.models.virtual_service import RouteDestination
from mesh.pilot.node import ProxyNode
from mesh.pilot.translate import messages, names, traffic_policy
from mesh.pilot.translate.routing import MESH, Routing, qualify_gateway
from mesh.pilot.translate.view import MeshView

FILTER = "envoy.filters.network.tcp_proxy"
TLS_INSPECTOR = "envoy.filters.listener.tls_inspector"
TLS_PROTOCOLS = ("tls", "https")


class L4Match(Protocol):
    """What a ``tcp`` and a ``tls`` match have in common."""

    port: int | None
    source_labels: dict[str, str] | None
    gateways: list[str] | None
    source_namespace: str | None
    destination_subnets: list[str] | None


def outbound(view: MeshView, node: ProxyNode, log: AccessLog) -> list[Listener]:
    """Return the listeners for the TCP ports of the mesh that ``node`` has ports for."""
    found = []
    for key, listen in node.tcp_ports.items():
        hostname, _, number = key.rpartition(":")
        service = view.service(hostname)
        if service is None or view.unlisted(hostname):
            continue
        port = next((each for each in service.ports if each.number == int(number)), None)
        if port is not None:
            encrypted = port.protocol in TLS_PROTOCOLS
            chains = service_chains(view, node, hostname, port.number, encrypted, log)
            found.append(listener(f"{hostname}_{number}", listen, chains, inspect=encrypted))
    return found


def listener(
    name: str,
    port: int,
    chains: list[FilterChain],
    *,
    inspect: bool,
    bind: str = "127.0.0.1",
) -> Listener:
    """Return an outbound listener; ``inspect`` looks for the server name of TLS."""
    made = Listener(
        name=name,
        address=messages.address(bind, port),
        traffic_direction=TrafficDirection.OUTBOUND,
        filter_chains=chains,
    )
    if inspect:
        made.listener_filters = [
            ListenerFilter(name=TLS_INSPECTOR, typed_config=messages.pack(TlsInspector()))
        ]
    return made


def chain(proxy: TcpProxy, match: FilterChainMatch | None = None) -> FilterChain:
    """Return a filter chain that passes bytes on."""
    filters = [Filter(name=FILTER, typed_config=messages.pack(proxy))]
    return FilterChain(filter_chain_match=match, filters=filters)


def proxy(view: MeshView, clusters: Sequence[tuple[str, int]], log: AccessLog | None) -> TcpProxy:
    """Return the filter for one cluster, or for several with weights."""
    first = clusters[0][0]
    made = TcpProxy(stat_prefix=first, access_log=[log] if log is not None else [])
    if len(clusters) == 1:
        made.cluster = first
    else:
        entries = [
            TcpProxyWeightedClusterClusterWeight(name=name, weight=weight)
            for name, weight in clusters
        ]
        made.weighted_clusters = TcpProxyWeightedCluster(clusters=entries)
    _, number, subset, hostname = names.parse(first)
    pool = traffic_policy.effective(view.rule(hostname), subset, number).connection_pool
    if pool is not None and pool.tcp is not None and pool.tcp.idle_timeout:
        made.idle_timeout = pool.tcp.idle_timeout
    return made


def destinations(
    view: MeshView, routing: Routing, routes: Sequence[RouteDestination], port: int
) -> list[tuple[str, int]]:
    """Return the clusters of a rule with their weights; weight 0 gets nothing."""
    weighted = [each for each in routes if each.weight] or list(routes[:1])
    return [
        (view.cluster(each.destination, routing.namespace, port), each.weight or 1)
        for each in weighted
    ]


def concerns(match: L4Match, node: ProxyNode, namespace: str, gateway: str, port: int) -> bool:
    """Say whether a match is for this proxy and listener port (a choice at configuration time)."""
    if match.port and match.port != port:
        return False
    if match.gateways:
        named = [qualify_gateway(each, namespace) for each in match.gateways]
        if gateway not in named:
            return False
    if gateway != MESH:
        return True
    if match.source_namespace and match.source_namespace != node.namespace:
        return False
    wanted: Mapping[str, str] = match.source_labels or {}
    return wanted.items() <= node.labels.items()


def subnets(match: L4Match) -> list[CidrRange]:
    """Return the ``destinationSubnets`` of a match."""
    found = []
    for text in match.destination_subnets or []:
        network = ipaddress.ip_network(text, strict=False)
        found.append(
            CidrRange(address_prefix=str(network.network_address), prefix_len=network.prefixlen)
        )
    return found


def _routing(view: MeshView, node: ProxyNode, hostname: str, encrypted: bool) -> Routing | None:
    """Return the VirtualService whose TCP (or TLS) rules hold for a host."""
    return view.virtual_service(hostname, node.namespace, "tls" if encrypted else "tcp")


def ruled_chains(
    view: MeshView, node: ProxyNode, hostname: str, port: int, log: AccessLog
) -> list[FilterChain]:
    """Return what the ``tls`` rules of a VirtualService say for a host; empty without any."""
    routing = _routing(view, node, hostname, encrypted=True)
    return tls_chains(view, routing, node, MESH, port, log) if routing is not None else []


def service_chains(
    view: MeshView, node: ProxyNode, hostname: str, port: int, encrypted: bool, log: AccessLog
) -> list[FilterChain]:
    """Return the filter chains of a port of a service; ``encrypted``: its ``tls`` rules count."""
    routing = _routing(view, node, hostname, encrypted)
    found: list[FilterChain] = []
    if routing is not None:
        make = tls_chains if encrypted else tcp_chains
        found = make(view, routing, node, MESH, port, log)
    if not found or found[-1].filter_chain_match is not None:
        found.append(chain(proxy(view, [(names.outbound(port, "", hostname), 1)], log)))
    return found


def tcp_chains(
    view: MeshView, routing: Routing, node: ProxyNode, gateway: str, port: int, log: AccessLog
) -> list[FilterChain]:
    """Return a chain for each ``tcp`` rule; one without ``destinationSubnets`` ends the list."""
    found: list[FilterChain] = []
    for rule in routing.spec.tcp or []:
        made = proxy(view, destinations(view, routing, rule.route or [], port), log)
        fitting = [
            each
            for each in rule.match or []
            if concerns(each, node, routing.namespace, gateway, port)
        ]
        if rule.match and not fitting:
            continue
        ranges = [subnets(each) for each in fitting]
        if not all(ranges) or not ranges:
            return [*found, chain(made)]
        found += [chain(made, FilterChainMatch(prefix_ranges=each)) for each in ranges]
    return found


def tls_chains(
    view: MeshView, routing: Routing, node: ProxyNode, gateway: str, port: int, log: AccessLog
) -> list[FilterChain]:
    """Return a chain for each match of each ``tls`` rule; an earlier rule keeps a server name."""
    found: list[FilterChain] = []
    taken: set[tuple[str, str]] = set()
    for rule in routing.spec.tls or []:
        made = proxy(view, destinations(view, routing, rule.route or [], port), log)
        for match in rule.match:
            if not concerns(match, node, routing.namespace, gateway, port):
                continue
            ranges = subnets(match)
            place = repr(ranges)
            hosts = [each for each in match.sni_hosts if (each, place) not in taken]
            taken.update((each, place) for each in hosts)
            if not hosts:
                continue
            # "*" is every name: no condition, and nothing behind it is reached.
            wanted = [] if "*" in hosts else hosts
            if not wanted and not ranges:
                return [*found, chain(made)]
            found.append(chain(made, FilterChainMatch(server_names=wanted, prefix_ranges=ranges)))
    return found
