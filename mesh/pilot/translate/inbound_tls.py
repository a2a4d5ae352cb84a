"""Inbound TLS: the filter chains of the port in front of an application.

STRICT has one chain, for TLS: a caller in plain text finds none, and the connection is closed before
any HTTP answer.  PERMISSIVE has a second one for plain text.  DISABLE has no TLS at all.  The
listener filter ``tls_inspector`` looks at the first bytes and tells which it is.
``x-forwarded-client-cert`` tells the application who calls; in plain text it is taken away.
Mode: ``mesh.pilot.translate.peer_authentication``.
Source: istio/istio ``pilot/pkg/networking/core/listener_inbound.go``.
Shown by ``meshctl proxy-config listener POD -o json``.
"""

from __future__ import annotations

from dataclasses import replace

from envoy_data_plane.envoy.config.listener.v3 import (
    FilterChain,
    FilterChainMatch,
    Listener,
    ListenerFilter,
)
from envoy_data_plane.envoy.extensions.filters.listener.tls_inspector.v3 import TlsInspector
from envoy_data_plane.envoy.extensions.filters.network.http_connection_manager.v3 import (
    HttpConnectionManager,
    HttpConnectionManagerForwardClientCertDetails,
    HttpConnectionManagerSetCurrentClientCertDetails,
)

from mesh.pilot.node import ProxyNode
from mesh.pilot.translate import messages, mutual_tls, peer_authentication
from mesh.pilot.translate.view import MeshView

TLS_INSPECTOR = "envoy.filters.listener.tls_inspector"
TLS, PLAIN = "tls", "raw_buffer"


def apply(
    listener: Listener,
    view: MeshView,
    node: ProxyNode,
    service_port: int,
    *,
    passes_tls: bool = False,
) -> None:
    """Turn the one chain of a listener into those of the port's mode.

    ``passes_tls``: TLS that is not the mesh's own is the application's business (raw TCP).
    """
    mode = peer_authentication.mode(view, node.namespace, node.labels, node.services, service_port)
    if mode == "DISABLE":
        return
    plain = listener.filter_chains[0]
    encrypted = FilterChain(
        filter_chain_match=FilterChainMatch(transport_protocol=TLS),
        transport_socket=mutual_tls.downstream(),
        filters=plain.filters,
    )
    listener.filter_chains = [encrypted]
    if mode == "PERMISSIVE":
        encrypted.filter_chain_match = FilterChainMatch(
            transport_protocol=TLS, application_protocols=mutual_tls.PEERS
        )
        match = FilterChainMatch(transport_protocol="" if passes_tls else PLAIN)
        listener.filter_chains.append(replace(plain, filter_chain_match=match))
    listener.listener_filters = [
        ListenerFilter(name=TLS_INSPECTOR, typed_config=messages.pack(TlsInspector()))
    ]


def tell_caller(manager: HttpConnectionManager) -> None:
    """Let the application see who calls (x-forwarded-client-cert), as Istio's sidecar does."""
    manager.forward_client_cert_details = (
        HttpConnectionManagerForwardClientCertDetails.APPEND_FORWARD
    )
    manager.set_current_client_cert_details = HttpConnectionManagerSetCurrentClientCertDetails(
        subject=True, dns=True, uri=True
    )
