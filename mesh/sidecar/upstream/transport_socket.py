"""TransportSockets: plaintext or TLS to an endpoint, and how a TLS connection is opened.

With automatic mTLS a cluster has two ways: endpoints whose pods have a sidecar say
``tlsMode: istio`` in their metadata and get mTLS, all others plaintext.  Envoy takes the first of
``transport_socket_matches`` whose every key the endpoint has, else ``transport_socket``.
Shown by ``meshctl proxy-config clusters POD -o json``.

Source: Envoy ``source/common/upstream/transport_socket_match_impl.cc``.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from envoy_data_plane.envoy.config.cluster.v3 import Cluster

from mesh.sidecar.errors import ConfigRefusedError
from mesh.sidecar.tls.context import TlsContext
from mesh.sidecar.tls.errors import TlsError
from mesh.sidecar.tls.socket import compile_transport_socket
from mesh.sidecar.tls.transport import TlsFacts, TlsTransport
from mesh.sidecar.upstream.resets import UpstreamResetError


@dataclass(frozen=True, slots=True)
class SocketMatch:
    """A way to an endpoint: ``tls`` is None for plaintext; ``match`` is what metadata must have."""

    name: str
    match: tuple[tuple[str, Any], ...]
    tls: TlsContext | None


class TransportSockets:
    """The ways of one cluster, in order; the default comes last."""

    def __init__(self, message: Cluster) -> None:
        """Compile ``message``.  Raises ConfigRefusedError."""
        self._matches: list[SocketMatch] = []
        for item in message.transport_socket_matches:
            wanted: dict[str, Any] = item.match.to_dict() if item.match is not None else {}
            tls = compile_transport_socket(item.transport_socket, downstream=False)
            self._matches.append(SocketMatch(item.name, tuple(wanted.items()), tls))
        if message.transport_socket_matcher is not None:
            raise ConfigRefusedError("transport_socket_matcher cannot be executed")
        tls = compile_transport_socket(message.transport_socket, downstream=False)
        self._default = SocketMatch("default", (), tls)

    def choose(self, metadata: dict[str, Any]) -> SocketMatch:
        """Return the way to an endpoint with this metadata."""
        for item in self._matches:
            if all(key in metadata and metadata[key] == value for key, value in item.match):
                return item
        return self._default


async def connect[P: asyncio.Protocol](
    address: str,
    port: int,
    tls: TlsContext | None,
    factory: Callable[[], P],
    timeout: float,
    alpn: list[bytes] | None = None,
) -> P:
    """Open a connection, with TLS where ``tls`` is given; both within ``timeout`` seconds.

    An ``address`` with a ``/`` is a Unix socket.  Raises UpstreamResetError with Envoy's reason.
    """
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(timeout):
            if tls is not None:
                return await _connect_tls(address, port, tls, factory, alpn)
            if "/" in address:
                return (await loop.create_unix_connection(factory, address))[1]
            return (await loop.create_connection(factory, address, port))[1]
    except TimeoutError:
        raise UpstreamResetError("connection timeout", "UF", "") from None
    except OSError as error:
        text = _describe(error).replace(" ", "_")
        if "/" in address:  # a Unix socket refuses at once
            text = f"immediate_connect_error:_{text}|remote_address:{address}"
        else:
            text = f"delayed_connect_error:_{text}"
        raise UpstreamResetError("remote connection failure", "UF", text) from None


def _describe(error: OSError) -> str:
    """Return the system's words for ``error``, without the address asyncio puts around them."""
    return os.strerror(error.errno) if error.errno else "Connection refused"


async def _connect_tls[P: asyncio.Protocol](
    address: str, port: int, tls: TlsContext, factory: Callable[[], P], alpn: list[bytes] | None
) -> P:
    loop = asyncio.get_running_loop()
    done: asyncio.Future[P] = loop.create_future()

    def connected(protocol: P) -> None:
        if not done.done():
            done.set_result(protocol)

    def established(_facts: TlsFacts) -> asyncio.Protocol:
        protocol = factory()
        loop.call_soon(connected, protocol)  # not before the protocol has its transport
        return protocol

    def failed(error: TlsError | None) -> None:
        if not done.done():
            text = "" if error is None else str(error)
            done.set_exception(UpstreamResetError("remote connection failure", "UF", text))

    def make() -> TlsTransport:
        return TlsTransport(tls, established, failed, alpn)

    if "/" in address:
        transport, _ = await loop.create_unix_connection(make, address)
    else:
        transport, _ = await loop.create_connection(make, address, port)
    try:
        return await done
    except BaseException:
        transport.abort()
        raise
