"""LDS: where a sidecar or gateway listens, and the filter chain behind each port.

``virtualInbound`` takes what is meant for the pod's application, ``http_proxy`` (or in a container
``virtualOutbound``) what the application sends out; a gateway has ``0.0.0.0_PORT``.  Inside is Envoy's HTTP connection manager:
filters in Istio's order (fault, cors, router last), the route table (inline or by RDS) and the
access log.  Shown by ``meshctl proxy-config listener POD``.
"""

from __future__ import annotations

from datetime import timedelta

from betterproto2 import Message
from envoy_data_plane.envoy.config.accesslog.v3 import AccessLog
from envoy_data_plane.envoy.config.core.v3 import SubstitutionFormatString, TrafficDirection
from envoy_data_plane.envoy.config.listener.v3 import Filter, FilterChain, Listener
from envoy_data_plane.envoy.config.route.v3 import (
    Route,
    RouteAction,
    RouteConfiguration,
    RouteMatch,
    VirtualHost,
)
from envoy_data_plane.envoy.extensions.access_loggers.file.v3 import FileAccessLog
from envoy_data_plane.envoy.extensions.filters.http.cors.v3 import Cors
from envoy_data_plane.envoy.extensions.filters.http.fault.v3 import HttpFault
from envoy_data_plane.envoy.extensions.filters.http.router.v3 import Router
from envoy_data_plane.envoy.extensions.filters.network.http_connection_manager.v3 import (
    HttpConnectionManager,
    HttpConnectionManagerForwardClientCertDetails,
    HttpConnectionManagerServerHeaderTransformation,
    HttpConnectionManagerSetCurrentClientCertDetails,
    HttpConnectionManagerUpgradeConfig,
    HttpFilter,
    Rds,
)

from mesh.accesslog import JSON_FORMAT
from mesh.pilot.node import ProxyNode
from mesh.pilot.translate import (
    access_control,
    connect,
    cors,
    envoy_filter,
    fault,
    gateway,
    gateway_chains,
    inbound_tls,
    local_rate_limit,
    mesh_config,
    messages,
    names,
    network_filter,
    outside_tls,
    peer_metadata,
    routes,
    tcp,
    tcp_access_control,
    tracing,
    virtual_outbound,
)
from mesh.pilot.translate.view import MeshView
from mesh.topology import TCP_PROTOCOLS

HCM = "envoy.filters.network.http_connection_manager"
Filters = list[tuple[str, Message]]
INBOUND = "inbound"
OUTBOUND = "outbound"


def listeners(view: MeshView, node: ProxyNode) -> dict[str, Listener]:
    """Return the listeners of a node by name."""
    found: list[Listener] = []
    checks = access_control.filters(view, node)
    for service_port, port in node.inbound_ports.items():
        name = "virtualInbound" if not found else f"virtualInbound_{service_port}"
        found.append(_inbound(view, node, name, service_port, port, checks))
    if node.captured:
        found += _captured(view, node)
    elif node.outbound_port:
        prefix = f"outbound_127.0.0.1_{routes.HTTP_PROXY}"
        manager = _manager(view, node, OUTBOUND, prefix, [])
        manager.rds = Rds(config_source=messages.ads(), route_config_name=routes.HTTP_PROXY)
        inner = _manager(view, node, OUTBOUND, f"{prefix}_{connect.NAME}", [])
        inner.rds = manager.rds
        connect.allow(manager)
        found.append(_listener(routes.HTTP_PROXY, node.outbound_port, OUTBOUND, manager))
        found.append(connect.listener(inner, HCM))
        found += outside_tls.listeners(view, node, access_log(node, OUTBOUND))
    if not node.captured:
        found += tcp.outbound(view, node, access_log(node, OUTBOUND))
    found += _gateway_tls(view, node, checks)
    for port in gateway.servers(view, node):
        manager = _edge(view, node, port, gateway.route_name(port), checks)
        listen = node.gateway_ports[port]
        found.append(_listener(f"0.0.0.0_{port}", listen, OUTBOUND, manager, node.bind))
    return {each.name: each for each in found}


def _captured(view: MeshView, node: ProxyNode) -> list[Listener]:
    """Return the listeners of an application that knows of no proxy."""

    def http(port: int) -> Filter:
        manager = _manager(view, node, OUTBOUND, f"outbound_0.0.0.0_{port}", [])
        manager.rds = Rds(config_source=messages.ads(), route_config_name=str(port))
        return Filter(name=HCM, typed_config=messages.pack(manager))

    return virtual_outbound.listeners(view, node, http, access_log(node, OUTBOUND))


def _edge(
    view: MeshView, node: ProxyNode, port: int, route_name: str, checks: Filters
) -> HttpConnectionManager:
    """Return the HTTP connection manager of a gateway, which speaks to strangers."""
    prefix = f"outbound_0.0.0.0_{port}"
    manager = _manager(view, node, OUTBOUND, prefix, checks, gateway_port=port)
    manager.use_remote_address = True
    # Istio's edge gives every request a new id; here the client's own id must join its answer
    # to the access logs and journals behind the gateway.
    manager.preserve_external_request_id = True
    manager.rds = Rds(config_source=messages.ads(), route_config_name=route_name)
    manager.forward_client_cert_details = HttpConnectionManagerForwardClientCertDetails.SANITIZE_SET
    manager.set_current_client_cert_details = HttpConnectionManagerSetCurrentClientCertDetails(
        subject=True, cert=True, dns=True, uri=True
    )
    return manager


def _gateway_tls(view: MeshView, node: ProxyNode, checks: Filters) -> list[Listener]:
    """Return the listeners of a gateway's ports for TLS and TCP."""
    found = []
    for port, opened in gateway_chains.servers(view, node).items():

        def http(route_name: str, port: int = port) -> Filter:
            manager = _edge(view, node, port, route_name, checks)
            return Filter(name=HCM, typed_config=messages.pack(manager))

        log = access_log(node, OUTBOUND)
        chains = gateway_chains.chains(view, node, port, opened, http, log)
        if chains:
            name, listen = f"0.0.0.0_{port}", node.gateway_ports[port]
            inspect = gateway_chains.needs_inspector(opened)
            found.append(tcp.listener(name, listen, chains, inspect=inspect, bind=node.bind))
    return found


def _listener(
    name: str,
    port: int,
    direction: str,
    manager: HttpConnectionManager,
    bind: str = "127.0.0.1",
) -> Listener:
    return Listener(
        name=name,
        address=messages.address(bind, port),
        traffic_direction=TrafficDirection.INBOUND
        if direction == INBOUND
        else TrafficDirection.OUTBOUND,
        filter_chains=[
            FilterChain(filters=[Filter(name=HCM, typed_config=messages.pack(manager))])
        ],
    )


def _inbound(
    view: MeshView, node: ProxyNode, name: str, service_port: int, port: int, checks: Filters
) -> Listener:
    cluster = names.inbound(service_port)
    if view.protocol(node.services, service_port) in TCP_PROTOCOLS:
        return _inbound_tcp(view, node, name, service_port, port)
    prefix = f"inbound_0.0.0.0_{service_port}"
    manager = _manager(view, node, INBOUND, prefix, checks, inbound_port=service_port)
    route = Route(
        name="default",
        match=RouteMatch(prefix="/"),
        route=RouteAction(cluster=cluster, timeout=timedelta(0)),
    )
    host = VirtualHost(name=f"inbound|http|{service_port}", domains=["*"], routes=[route])
    peer_metadata.hide(host)
    table = RouteConfiguration(name=cluster, virtual_hosts=[host], validate_clusters=False)
    manager.route_config = local_rate_limit.merge(
        table, view, node, local_rate_limit.SIDECAR_INBOUND, service_port
    )
    if node.mtls:
        inbound_tls.tell_caller(manager)
    listener = _listener(name, port, INBOUND, manager, node.bind)
    if node.mtls:
        inbound_tls.apply(listener, view, node, service_port)
    return listener


def _inbound_tcp(
    view: MeshView, node: ProxyNode, name: str, service_port: int, port: int
) -> Listener:
    """Return the listener of a port that is not HTTP: bytes go to the application as they are."""
    proxy = tcp.proxy(view, [(names.inbound(service_port), 1)], access_log(node, INBOUND))
    chain = tcp.chain(proxy)
    chain.filters = [*tcp_access_control.filters(view, node), *chain.filters]
    listener = tcp.listener(name, port, [chain], inspect=False, bind=node.bind)
    listener.traffic_direction = TrafficDirection.INBOUND
    if node.mtls:
        inbound_tls.apply(listener, view, node, service_port, passes_tls=True)
    return listener


def _manager(
    view: MeshView,
    node: ProxyNode,
    direction: str,
    stat_prefix: str,
    checks: Filters,
    *,
    inbound_port: int = 0,
    gateway_port: int = 0,
) -> HttpConnectionManager:
    """Build the HTTP connection manager; VirtualService features work on the way out only.

    ``checks`` (``access_control``) come before all other filters.
    """
    filters: Filters = []
    if inbound_port:
        filters.append((peer_metadata.FILTER, peer_metadata.inbound_filter()))
    filters += checks
    if not inbound_port:
        filters += [(fault.FILTER, HttpFault()), (cors.FILTER, Cors())]
    filters.append(("envoy.filters.http.router", Router()))
    if inbound_port or gateway_port:
        context = local_rate_limit.SIDECAR_INBOUND if inbound_port else local_rate_limit.GATEWAY
        filters = local_rate_limit.insert(
            filters, view, node, context, inbound_port or gateway_port
        )
    manager = HttpConnectionManager(
        stat_prefix=stat_prefix,
        http_filters=[
            HttpFilter(name=name, typed_config=messages.pack(each)) for name, each in filters
        ],
        access_log=[access_log(node, direction)] if node.access_log else [],
        use_remote_address=False,
        generate_request_id=True,
        server_header_transformation=HttpConnectionManagerServerHeaderTransformation.PASS_THROUGH,
        upgrade_configs=[HttpConnectionManagerUpgradeConfig(upgrade_type="websocket")],
        stream_idle_timeout=timedelta(0),
    )
    mesh_config.normalize(manager, view.mesh_config.normalization)
    tracing.apply(manager, view, node)
    context = envoy_filter.INBOUND if inbound_port else envoy_filter.OUTBOUND
    if gateway_port:
        context = envoy_filter.GATEWAY
    network_filter.merge(manager, view, node, context, inbound_port or gateway_port)
    return manager


def access_log(node: ProxyNode, direction: str) -> AccessLog:
    """Return the node's JSON access log (``mesh.accesslog``) with the listener's direction."""
    log = FileAccessLog(
        path=node.access_log,
        log_format=SubstitutionFormatString(
            json_format=messages.struct({**JSON_FORMAT, "direction": direction}),
            omit_empty_values=False,
        ),
    )
    return AccessLog(name="envoy.access_loggers.file", typed_config=messages.pack(log))
