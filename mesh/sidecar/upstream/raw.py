"""RawUpstream: the upstream end of a CONNECT tunnel, bytes that are no request any more.

An application behind ``HTTP_PROXY`` asks for a tunnel when it speaks TLS, gRPC or WebSocket.  The
route of the host ends it (``connect_config``): in an internal listener, where HTTP inside meets the
same routes as outside of a tunnel, or at an endpoint, as raw TCP.

Source: Envoy ``source/extensions/upstreams/http/tcp/upstream_request.cc``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

from mesh.sidecar.memory_transport import connect_in_memory
from mesh.sidecar.stream_info import StreamInfo
from mesh.sidecar.upstream.balancers import Context
from mesh.sidecar.upstream.cluster_manager import Cluster, ClusterManager
from mesh.sidecar.upstream.outlier_detection import Local
from mesh.sidecar.upstream.resets import UpstreamResetError
from mesh.sidecar.upstream.send import NoHealthyHostError


class RawUpstream(asyncio.Protocol):
    """One connection; bytes wait here until ``tunnel`` names who takes them."""

    def __init__(self) -> None:
        self._early = bytearray()
        self._receiver: Callable[[bytes], None] | None = None
        self._closed = False
        self.on_full: Callable[[bool], None] | None = None
        self.on_gone: Callable[[], None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by asyncio: connected."""
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Called by asyncio with bytes of the upstream."""
        if self._receiver is not None:
            self._receiver(data)
        else:
            self._early += data

    def tunnel(self, receiver: Callable[[bytes], None]) -> None:
        """Pass every byte to ``receiver``, and ``b""`` at the end."""
        self._receiver = receiver
        if self._early:
            receiver(bytes(self._early))
            self._early.clear()
        if self._closed:
            receiver(b"")

    def pause_writing(self) -> None:
        """Called by asyncio: the send buffer is full."""
        if self.on_full is not None:
            self.on_full(True)

    def resume_writing(self) -> None:
        """Called by asyncio: the send buffer has room."""
        if self.on_full is not None:
            self.on_full(False)

    def close(self) -> None:
        """Close after what has been written."""
        if not self._closed:
            self.transport.close()

    def abort(self) -> None:
        """Close at once."""
        if not self._closed:
            self.transport.abort()

    def connection_lost(self, error: Exception | None) -> None:
        """Called by asyncio: the upstream is gone."""
        del error
        self._closed = True
        if self.on_gone is not None:
            self.on_gone()
        if self._receiver is not None:
            self._receiver(b"")


async def open_tunnel(
    clusters: ClusterManager, cluster: Cluster, info: StreamInfo, peer: tuple[str, int]
) -> RawUpstream:
    """Open the upstream end; ``peer`` is the client, whom an internal listener will see.

    Raises NoHealthyHostError or UpstreamResetError, as a request's attempt does.
    """
    context = Context()
    host = cluster.choose(context)
    info.attempts = 1
    if host is None:
        raise NoHealthyHostError
    info.upstream_host = host.key
    info.explain("endpoint", attempt=1, address=host.key, pod=host.pod, why=context.why)
    cluster.counters["upstream_rq_total"] += 1
    if host.internal:
        accept = clusters.internal_listeners.get(host.internal)
        if accept is None:
            raise UpstreamResetError("remote connection failure", "UF")
        upstream = RawUpstream()
        connect_in_memory(upstream, accept(), peer)
    else:
        connections = cluster.breakers.of(0).connections
        if not connections.admit():
            raise UpstreamResetError("overflow", "UO")
        pool = cluster.raw_pool(host)
        try:
            upstream = await pool.connect(RawUpstream)
        except BaseException:
            connections.release()
            cluster.report_local(host, Local.FAILED)
            raise
        pool.raw += 1
        host.active_requests += 1

        def gone() -> None:
            pool.raw -= 1
            host.active_requests -= 1
            connections.release()

        upstream.on_gone = gone
        cluster.report_local(host, Local.CONNECTED)
    info.hosts_attempted.append(host.key)
    return upstream
