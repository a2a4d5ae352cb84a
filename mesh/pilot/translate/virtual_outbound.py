"""virtualOutbound: the one port to which iptables brings all that an application sends.

It restores the address that was asked for (``original_dst``) and hands the connection over to the
listener of that address: ``0.0.0.0_8080`` for the HTTP services of a port, told apart by their
Host header; ``10.96.3.4_9000`` for a TCP service, told apart by its virtual address;
``0.0.0.0_443`` for TLS to outside hosts, told apart by the server name.  These bind no port of
their own.  What is for none of them meets the outbound traffic policy: PassthroughCluster, which
sends it where it wanted to go, or BlackHoleCluster, which closes it.
Source: istio/istio ``pilot/pkg/networking/core/listener_builder.go`` (buildVirtualOutboundListener).
Shown by ``meshctl proxy-config listener POD``.
"""

from __future__ import annotations

from collections.abc import Callable

from envoy_data_plane.envoy.config.accesslog.v3 import AccessLog
from envoy_data_plane.envoy.config.core.v3 import TrafficDirection
from envoy_data_plane.envoy.config.listener.v3 import (
    Filter,
    FilterChain,
    FilterChainMatch,
    Listener,
    ListenerFilter,
)
from envoy_data_plane.envoy.extensions.filters.listener.original_dst.v3 import OriginalDst
from envoy_data_plane.envoy.extensions.filters.listener.tls_inspector.v3 import TlsInspector

from mesh.pilot.node import ProxyNode
from mesh.pilot.translate import messages, name_table, outbound_policy, outside_tls, routes, tcp
from mesh.pilot.translate.view import MeshView
from mesh.topology import Service

NAME = "virtualOutbound"
ANY = "0.0.0.0"


def listeners(
    view: MeshView, node: ProxyNode, http: Callable[[int], Filter], log: AccessLog
) -> list[Listener]:
    """Return the listeners; ``http`` makes the HTTP connection manager of a port."""
    encrypted, plain = outside_tls.ports(view), routes.http_ports(view)
    return [
        _virtual(view, node, log),
        *(
            _of_port(view, node, number, number in encrypted, number in plain, http, log)
            for number in sorted({*encrypted, *plain})
        ),
        *_tcp(view, node, log),
    ]


def _virtual(view: MeshView, node: ProxyNode, log: AccessLog) -> Listener:
    # Who connects to the port itself would be sent to himself, again and again.
    itself = tcp.chain(
        tcp.proxy(view, [(outbound_policy.BLACK_HOLE, 1)], log),
        FilterChainMatch(destination_port=node.outbound_port),
    )
    rest = tcp.chain(tcp.proxy(view, [(_fallback(view), 1)], log))
    restore = ListenerFilter(
        name="envoy.filters.listener.original_dst", typed_config=messages.pack(OriginalDst())
    )
    return Listener(
        name=NAME,
        address=messages.address(ANY, node.outbound_port),
        traffic_direction=TrafficDirection.OUTBOUND,
        use_original_dst=True,
        listener_filters=[restore],
        filter_chains=[itself, rest],
    )


def _fallback(view: MeshView) -> str:
    """Return where bytes go that are for nobody's address."""
    if view.policy == "REGISTRY_ONLY":
        return outbound_policy.BLACK_HOLE
    return outbound_policy.PASSTHROUGH


def _of_port(
    view: MeshView,
    node: ProxyNode,
    number: int,
    encrypted: bool,
    plain: bool,
    http: Callable[[int], Filter],
    log: AccessLog,
) -> Listener:
    """Return the listener of a port at any address."""
    chains: list[FilterChain] = []
    made = _unbound(f"{ANY}_{number}", ANY, number)
    if encrypted:
        made.listener_filters = [
            ListenerFilter(name=tcp.TLS_INSPECTOR, typed_config=messages.pack(TlsInspector()))
        ]
        chains = outside_tls.chains(view, node, number, log)
        made.default_filter_chain = outside_tls.fallback(view, log)
    if plain:
        match = FilterChainMatch(transport_protocol="raw_buffer") if encrypted else None
        chains.append(FilterChain(filter_chain_match=match, filters=[http(number)]))
    made.filter_chains = chains
    return made


def _tcp(view: MeshView, node: ProxyNode, log: AccessLog) -> list[Listener]:
    """Return a listener for each address and port of a TCP service."""
    found: dict[str, Listener] = {}
    taken = {*outside_tls.ports(view), *routes.http_ports(view)}
    for service in view.listed():
        hostname = service.hostname
        for port in service.ports:
            if port.protocol in routes.HTTP or outside_tls.applies(view, hostname, port.number):
                continue
            encrypted = port.protocol in tcp.TLS_PROTOCOLS
            chains = tcp.service_chains(view, node, hostname, port.number, encrypted, log)
            for address in _addresses(view, service):
                name = f"{address}_{port.number}"
                if address == ANY and port.number in taken:
                    continue
                made = found.setdefault(name, _unbound(name, address, port.number))
                if made.filter_chains:
                    continue  # two services of one address: the first one counts, as in Istio
                made.filter_chains = chains
                if encrypted:
                    made.listener_filters = [
                        ListenerFilter(
                            name=tcp.TLS_INSPECTOR, typed_config=messages.pack(TlsInspector())
                        )
                    ]
    return list(found.values())


def _addresses(view: MeshView, service: Service) -> list[str]:
    """Return the addresses by which a TCP service is told; any, where its caller looks one up."""
    if name_table.looks_itself_up(view, service):
        return [ANY]
    return name_table.addresses(view, service)


def _unbound(name: str, address: str, port: int) -> Listener:
    return Listener(
        name=name,
        address=messages.address(address, port),
        traffic_direction=TrafficDirection.OUTBOUND,
        bind_to_port=False,
    )
