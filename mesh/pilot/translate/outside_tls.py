"""Outside TLS: connections to hosts outside of the mesh that the application has encrypted itself.

A sidecar cannot open them and need not: the server name that a TLS client shows (SNI) says where it
wants to go.  A ServiceEntry's port of protocol TLS or HTTPS gets a filter chain for its host, a
VirtualService's ``tls`` rules (``sniHosts``) lead it elsewhere, such as to an egress gateway whose server
says ``tls.mode: PASSTHROUGH``.  Names that no ServiceEntry has meet the outbound traffic policy:
PassthroughCluster, or BlackHoleCluster, which closes the connection.
In a real mesh iptables brings the connection to the listener ``0.0.0.0_443``; here it comes through a
CONNECT tunnel, so the listener of that name is an internal one.
Source: istio/istio ``pilot/pkg/networking/core/tls.go``.
Shown by ``meshctl proxy-config listener POD -o json``.
"""

from __future__ import annotations

from envoy_data_plane.envoy.config.accesslog.v3 import AccessLog
from envoy_data_plane.envoy.config.cluster.v3 import Cluster
from envoy_data_plane.envoy.config.core.v3 import TrafficDirection
from envoy_data_plane.envoy.config.listener.v3 import (
    FilterChain,
    FilterChainMatch,
    Listener,
    ListenerFilter,
    ListenerInternalListenerConfig,
)
from envoy_data_plane.envoy.extensions.filters.listener.tls_inspector.v3 import TlsInspector

from mesh.pilot.node import ProxyNode
from mesh.pilot.translate import connect, messages, names, outbound_policy, tcp
from mesh.pilot.translate.service_entry import EntryService
from mesh.pilot.translate.view import MeshView


def applies(view: MeshView, hostname: str, number: int) -> bool:
    """Whether a port is a TLS port of a ServiceEntry."""
    service = view.service(hostname)
    return isinstance(service, EntryService) and any(
        each.number == number and each.protocol in tcp.TLS_PROTOCOLS for each in service.ports
    )


def ports(view: MeshView) -> list[int]:
    """Return the ports for which a listener is needed."""
    entries = {port for ports in _hosts(view).values() for port in ports}
    return sorted(entries | outbound_policy.tls_ports(view))


def clusters(view: MeshView) -> dict[str, Cluster]:
    """Return the clusters that lead tunnels into the listeners."""
    return connect.inner_clusters({connect.tls_cluster(n): _name(n) for n in ports(view)})


def listeners(view: MeshView, node: ProxyNode, log: AccessLog) -> list[Listener]:
    """Return a listener for each port, with a filter chain for each server name."""
    inspector = ListenerFilter(name=tcp.TLS_INSPECTOR, typed_config=messages.pack(TlsInspector()))
    return [
        Listener(
            name=_name(number),
            internal_listener=ListenerInternalListenerConfig(),
            traffic_direction=TrafficDirection.OUTBOUND,
            listener_filters=[inspector],
            filter_chains=chains(view, node, number, log),
            default_filter_chain=fallback(view, log),
        )
        for number in ports(view)
    ]


def _hosts(view: MeshView) -> dict[str, list[int]]:
    """Return the TLS ports of the hosts outside of the mesh, by name."""
    return view.ask("outside TLS", None, lambda: _find_hosts(view))


def _find_hosts(view: MeshView) -> dict[str, list[int]]:
    entries = view.of_kind("ServiceEntry")
    hosts = sorted({host.lower() for each in entries for host in each.spec.hosts})
    return {
        hostname: [each.number for each in service.ports if applies(view, hostname, each.number)]
        for hostname in hosts
        if (service := view.service(hostname)) is not None and not view.unlisted(hostname)
    }


def _name(number: int) -> str:
    return f"0.0.0.0_{number}"


def fallback(view: MeshView, log: AccessLog) -> FilterChain:
    """Return the chain of the server names that nobody has."""
    return tcp.chain(tcp.proxy(view, [(outbound_policy.tls_fallback(view), 1)], log))


def chains(view: MeshView, node: ProxyNode, number: int, log: AccessLog) -> list[FilterChain]:
    """Return the chains of a port; of those with equal conditions the first stays."""
    found: list[FilterChain] = []
    for hostname, opened in _hosts(view).items():
        if number not in opened:
            continue
        ruled = tcp.ruled_chains(view, node, hostname, number, log)
        own = tcp.proxy(view, [(names.outbound(number, "", hostname), 1)], log)
        found += ruled or [tcp.chain(own, FilterChainMatch(server_names=[hostname]))]
    kept: dict[str, FilterChain] = {}
    for each in found:
        if each.filter_chain_match is not None:
            kept.setdefault(repr(each.filter_chain_match), each)
    return list(kept.values())
