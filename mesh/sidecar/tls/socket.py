"""Transport sockets: from a TransportSocket message to a TlsContext, or to plaintext.

Istio writes one into each cluster (``trafficPolicy.tls`` of a DestinationRule, or automatic mTLS)
and into each filter chain that takes TLS (PeerAuthentication, Gateway ``tls``).
Shown by ``meshctl proxy-config clusters POD -o json``.
"""

from __future__ import annotations

from envoy_data_plane.envoy.config.core.v3 import TransportSocket
from envoy_data_plane.envoy.extensions.transport_sockets.raw_buffer.v3 import RawBuffer
from envoy_data_plane.envoy.extensions.transport_sockets.tls.v3 import (
    DownstreamTlsContext,
    UpstreamTlsContext,
)

from mesh.sidecar.errors import ConfigRefusedError
from mesh.sidecar.tls.context import TlsContext
from mesh.sidecar.xds import unpack


def compile_transport_socket(
    socket: TransportSocket | None, *, downstream: bool
) -> TlsContext | None:
    """Compile a transport socket; None is plaintext.  Raises ConfigRefusedError."""
    if socket is None:
        return None
    config = unpack(socket.typed_config, f"transport socket {socket.name!r}")
    try:
        if isinstance(config, RawBuffer):
            return None
        if downstream and isinstance(config, DownstreamTlsContext):
            return TlsContext.downstream(config)
        if not downstream and isinstance(config, UpstreamTlsContext):
            return TlsContext.upstream(config)
    except (ConfigRefusedError, ValueError) as error:
        raise ConfigRefusedError(f"transport socket {socket.name!r}: {error}") from None
    raise ConfigRefusedError(
        f"transport socket {socket.name!r}: {type(config).__name__} cannot be executed here"
    )
