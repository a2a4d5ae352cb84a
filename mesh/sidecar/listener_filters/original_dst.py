"""original_dst: where a client wanted to go, before iptables turned it to the sidecar.

The kernel remembers the address of a redirected connection (``SO_ORIGINAL_DST``); with this
listener filter it counts as the connection's own local address, for the choice of the filter
chain and for clusters of type ORIGINAL_DST.  A connection that nobody redirected keeps its own.
In a real mesh the listeners ``virtualOutbound`` and ``virtualInbound`` have it.
See it with ``meshctl proxy-config listener POD -o json``.

Source: Envoy, "Original destination" (configuration/listeners/listener_filters/original_dst_filter).
"""

from __future__ import annotations

import asyncio
import socket
import struct

TYPE = "type.googleapis.com/envoy.extensions.filters.listener.original_dst.v3.OriginalDst"
_SO_ORIGINAL_DST = 80
_ADDRESS = struct.Struct("!2xH4s8x")


def original_destination(transport: asyncio.Transport) -> tuple[str, int] | None:
    """Return the address that the client asked for; None where the kernel knows of none."""
    sock = transport.get_extra_info("socket")
    if sock is None or sock.family != socket.AF_INET:
        return None
    try:
        raw = sock.getsockopt(socket.SOL_IP, _SO_ORIGINAL_DST, _ADDRESS.size)
    except OSError:
        return None
    port, address = _ADDRESS.unpack(raw)
    return socket.inet_ntoa(address), port
