"""FilterChain: what is done with a connection that a listener has accepted.

A chain says for whom it is (``filter_chain_match``), whether the connection is TLS
(``transport_socket``), and what serves it (network filters).  Shown by
``meshctl proxy-config listeners POD -o json``.

Source: Envoy ``api/envoy/config/listener/v3/listener_components.proto`` (FilterChain).
"""

from __future__ import annotations

from envoy_data_plane.envoy.config.listener.v3 import FilterChain as FilterChainMessage

from mesh.sidecar.filter_chain_match import compile_match
from mesh.sidecar.network import NetworkContext, make_network_filters
from mesh.sidecar.tls.socket import compile_transport_socket
from mesh.sidecar.xds import seconds


class FilterChain:
    """One filter chain, compiled; ``tls`` is None for plaintext.

    ``handshake_timeout`` is in seconds, 0 for none.  Raises ConfigRefusedError.
    """

    def __init__(self, message: FilterChainMessage, context: NetworkContext) -> None:
        self.name = message.name
        self.match = compile_match(message.filter_chain_match)
        self.tls = compile_transport_socket(message.transport_socket, downstream=True)
        self.handshake_timeout = seconds(message.transport_socket_connect_timeout, 0.0)
        self.filters, self.terminal = make_network_filters(message.filters, context)
