"""Outbound traffic policy: what happens to a host that no service and no ServiceEntry names.

REGISTRY_ONLY answers 502 (route ``block_all``), ALLOW_ANY sends it where the caller wanted to go
(route ``allow_any``, cluster PassthroughCluster: no retries, no time limit).  Set for the mesh
(``outbound_policy`` of a topology: ``meshConfig.outboundTrafficPolicy``) or by a Sidecar resource,
there with an ``egressProxy`` if wanted; the default was REGISTRY_ONLY until Istio 1.0.
Locally the way out ends at the topology's ``world``: its names go to the application that plays
them; any other name is answered 503 ``DNS resolution failure`` (route ``unresolved``), where in a
cluster the application's own look-up fails.
Source: istio/istio ``httproute.go`` (buildCatchAllVirtualHost), ``cluster.go``.
Shown by ``meshctl proxy-config route POD``.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import timedelta

from envoy_data_plane.envoy.config.cluster.v3 import Cluster, ClusterDiscoveryType
from envoy_data_plane.envoy.config.core.v3 import DataSource
from envoy_data_plane.envoy.config.endpoint.v3 import (
    ClusterLoadAssignment,
    Endpoint,
    LbEndpoint,
    LocalityLbEndpoints,
)
from envoy_data_plane.envoy.config.route.v3 import (
    DirectResponseAction,
    Route,
    RouteAction,
    RouteMatch,
    VirtualHost,
)

from mesh.pilot.translate import connect, connection_pool, messages, names, original_dst
from mesh.pilot.translate.view import COMPOSE, MeshView
from mesh.topology import HTTPS

PASSTHROUGH = "PassthroughCluster"
BLACK_HOLE = "BlackHoleCluster"
PASSTHROUGH_TLS = "PassthroughCluster_tls"
"""The same for connections that the application has encrypted: the played world has another door."""
BLOCK_ALL, ALLOW_ANY, UNRESOLVED = "block_all", "allow_any", "unresolved"
DNS_FAILURE = "DNS resolution failure"
"""What Envoy's dynamic forward proxy answers when a look-up fails."""


def unknown_hosts(view: MeshView, taken: Collection[str]) -> list[VirtualHost]:
    """Return the virtual hosts of everything that has none; ``taken`` are the domains in use."""
    if view.policy == "REGISTRY_ONLY":
        return [_host(BLOCK_ALL, ["*"], Route(direct_response=DirectResponseAction(status=502)))]
    if view.egress_proxy is not None:
        return [_host(ALLOW_ANY, ["*"], _to(view.cluster(view.egress_proxy, view.client, 80)))]
    if view.runtime == COMPOSE:
        return [_host(ALLOW_ANY, ["*"], _to(PASSTHROUGH))]
    body = DataSource(inline_string=DNS_FAILURE)
    failed = Route(direct_response=DirectResponseAction(status=503, body=body))
    found = [_host(UNRESOLVED, ["*"], failed)]
    patterns = [each for each in taken if each.startswith("*")] if view.world else []
    reachable = [
        each
        for each in _domains(view)
        if each not in taken and not any(names.covers(pattern, each) for pattern in patterns)
    ]
    if reachable:
        found.insert(0, _host(ALLOW_ANY, reachable, _to(PASSTHROUGH)))
    for number in sorted(tls_ports(view)):
        encrypted = [
            each
            for each in sorted(view.world)
            if _port(each) == number
            and each not in taken
            and not any(names.covers(pattern, each) for pattern in patterns)
        ]
        if encrypted:
            failed = Route(direct_response=DirectResponseAction(status=503, body=body))
            host = _host(f"{ALLOW_ANY}_{number}", encrypted, failed)
            host.routes[-1] = connect.by_server_name(number)
            found.insert(0, host)
    return found


def tls_ports(view: MeshView) -> set[int]:
    """Return the ports at which unknown hosts may be reached over TLS."""
    if view.policy == "REGISTRY_ONLY":
        return set()
    return {_port(each) for each in view.world} & HTTPS


def tls_fallback(view: MeshView) -> str:
    """Return where a TLS connection goes whose server name nobody has."""
    if view.policy == "REGISTRY_ONLY":
        return BLACK_HOLE
    if view.egress_proxy is not None:
        return view.cluster(view.egress_proxy, view.client, 443)
    return PASSTHROUGH if view.runtime == COMPOSE else PASSTHROUGH_TLS


def clusters(view: MeshView) -> dict[str, Cluster]:
    """Return the cluster of everything unknown, and the one without any endpoint."""
    found = {BLACK_HOLE: _cluster(BLACK_HOLE, [])}
    # The application that plays the world tells names apart by the Host header: one door is enough.
    doors = [view.world[each] for each in sorted(view.world) if _port(each) not in HTTPS]
    found[PASSTHROUGH] = _cluster(PASSTHROUGH, doors[:1])
    encrypted = [view.world[each] for each in sorted(view.world) if _port(each) in HTTPS]
    found[PASSTHROUGH_TLS] = _cluster(PASSTHROUGH_TLS, encrypted[:1])
    if view.runtime == COMPOSE:
        original_dst.apply(found[PASSTHROUGH])
    return found


def _domains(view: MeshView) -> list[str]:
    found: list[str] = []
    for key in sorted(view.world):
        if _port(key) not in HTTPS:
            found += [key, key.rpartition(":")[0]] if _port(key) == 80 else [key]
    return found


def _port(key: str) -> int:
    return int(key.rpartition(":")[2])


def _to(cluster: str) -> Route:
    return Route(route=RouteAction(cluster=cluster, timeout=timedelta(0)))


def _host(name: str, domains: list[str], route: Route) -> VirtualHost:
    route.name, route.match = name, RouteMatch(prefix="/")
    answer = route.direct_response
    tunnel = connect.inside() if answer is None else connect.refused(answer)
    return VirtualHost(
        name=name, domains=domains, routes=[route, tunnel], include_request_attempt_count=True
    )


def _cluster(name: str, doors: list[tuple[str, int]]) -> Cluster:
    members = [
        LbEndpoint(endpoint=Endpoint(address=messages.address(address, port)))
        for address, port in doors
    ]
    cluster = Cluster(
        name=name,
        type=ClusterDiscoveryType.STATIC,
        load_assignment=ClusterLoadAssignment(
            cluster_name=name,
            endpoints=[LocalityLbEndpoints(lb_endpoints=members)] if members else [],
        ),
    )
    connection_pool.apply(cluster, None, "http")
    return cluster
