"""CONNECT: the tunnels of applications that reach the mesh through ``http_proxy``.

A client behind a proxy speaks plain HTTP to it with whole URLs; for anything else (https, gRPC,
many WebSocket clients) it asks for a tunnel, ``CONNECT host:port``.  To an HTTP port the tunnel ends in
an internal listener of the sidecar, whose connection manager has the same route table: HTTP/1.1 or
h2c inside meets the same VirtualServices as outside.  To a TLS or TCP port it ends at the sidecar's
own listener for that port (``tcp``), and nobody looks inside.  In a real mesh iptables brings
the connection to the sidecar, and no tunnel is needed.
See it with ``meshctl proxy-config route POD -o json`` (``connectMatcher``).

Source: Envoy, "HTTP upgrades" (CONNECT termination), "Internal listener".
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from functools import lru_cache

from envoy_data_plane.envoy.config.cluster.v3 import Cluster, ClusterDiscoveryType
from envoy_data_plane.envoy.config.core.v3 import Address, EnvoyInternalAddress, TrafficDirection
from envoy_data_plane.envoy.config.endpoint.v3 import (
    ClusterLoadAssignment,
    Endpoint,
    LbEndpoint,
    LocalityLbEndpoints,
)
from envoy_data_plane.envoy.config.listener.v3 import (
    Filter,
    FilterChain,
    FilterChainMatch,
    Listener,
    ListenerFilter,
    ListenerInternalListenerConfig,
)
from envoy_data_plane.envoy.config.route.v3 import (
    DirectResponseAction,
    Route,
    RouteAction,
    RouteActionUpgradeConfig,
    RouteActionUpgradeConfigConnectConfig,
    RouteMatch,
    RouteMatchConnectMatcher,
)
from envoy_data_plane.envoy.extensions.filters.listener.tls_inspector.v3 import TlsInspector
from envoy_data_plane.envoy.extensions.filters.network.http_connection_manager.v3 import (
    HttpConnectionManager,
    HttpConnectionManagerUpgradeConfig,
)

from mesh.pilot.encode import sealed
from mesh.pilot.node import ProxyNode
from mesh.pilot.translate import connection_pool, messages

NAME = "connect"
"""Name of the internal listener and of the cluster that leads into it."""
UPGRADE = "CONNECT"


def allow(manager: HttpConnectionManager) -> None:
    """Let the outbound listener accept tunnels."""
    manager.upgrade_configs.append(HttpConnectionManagerUpgradeConfig(upgrade_type=UPGRADE))


def listener(manager: HttpConnectionManager, name: str) -> Listener:
    """Return the internal listener; TLS, which nobody here could open, finds no filter chain."""
    inspector = ListenerFilter(
        name="envoy.filters.listener.tls_inspector", typed_config=messages.pack(TlsInspector())
    )
    chain = FilterChain(
        filter_chain_match=FilterChainMatch(transport_protocol="raw_buffer"),
        filters=[Filter(name=name, typed_config=messages.pack(manager))],
    )
    return Listener(
        name=NAME,
        internal_listener=ListenerInternalListenerConfig(),
        traffic_direction=TrafficDirection.OUTBOUND,
        listener_filters=[inspector],
        filter_chains=[chain],
    )


def clusters(node: ProxyNode) -> dict[str, Cluster]:
    """Return where the tunnels of ``node`` end."""
    found = inner_clusters({NAME: NAME})
    for key, port in node.tcp_ports.items():
        name = cluster_name(*key.rsplit(":", 1))
        found[name] = _cluster(name, messages.address("127.0.0.1", port))
    return found


def inner_clusters(leads: Mapping[str, str]) -> dict[str, Cluster]:
    """Return clusters that lead into internal listeners: name of the cluster -> of the listener."""
    return {
        name: _cluster(
            name,
            Address(envoy_internal_address=EnvoyInternalAddress(server_listener_name=listener)),
        )
        for name, listener in leads.items()
    }


def tls_cluster(port: int) -> str:
    """Return the cluster that leads into the listener for TLS to outside hosts."""
    return f"{NAME}|{port}||"


def cluster_name(hostname: str, port: int | str) -> str:
    """Return the cluster of the sidecar's own listener for a TCP port."""
    return f"{NAME}|{port}||{hostname}"


def route(node: ProxyNode, hostname: str, port: int, *, http: bool) -> list[Route]:
    """Return the route that ends a tunnel to a port, if there is a way in."""
    if f"{hostname}:{port}" in node.tcp_ports:
        return [_route(cluster_name(hostname, port))]
    return [_route(NAME)] if http else []


def by_server_name(port: int) -> Route:
    """Return the route that ends a tunnel where the server name of TLS chooses."""
    return _route(tls_cluster(port))


def inside() -> Route:
    """Return the route that ends a tunnel in the internal listener."""
    return _route(NAME)


def refused(response: DirectResponseAction) -> Route:
    """Return the route that answers a tunnel as it would answer a request."""
    match = RouteMatch(connect_matcher=RouteMatchConnectMatcher())
    return Route(name=NAME, match=match, direct_response=response)


@lru_cache(maxsize=1024)
def _route(cluster: str) -> Route:
    """Shared by all hosts of that kind; nobody may change it."""
    ends = RouteActionUpgradeConfig(
        upgrade_type=UPGRADE, connect_config=RouteActionUpgradeConfigConnectConfig()
    )
    return sealed(
        Route(
            name=NAME,
            match=RouteMatch(connect_matcher=RouteMatchConnectMatcher()),
            route=RouteAction(cluster=cluster, timeout=timedelta(0), upgrade_configs=[ends]),
        )
    )


def _cluster(name: str, address: Address) -> Cluster:
    members = [LbEndpoint(endpoint=Endpoint(address=address))]
    cluster = Cluster(
        name=name,
        type=ClusterDiscoveryType.STATIC,
        load_assignment=ClusterLoadAssignment(
            cluster_name=name, endpoints=[LocalityLbEndpoints(lb_endpoints=members)]
        ),
    )
    connection_pool.apply(cluster, None, "http")
    return cluster
