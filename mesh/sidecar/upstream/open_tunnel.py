"""OpenTunnel: the upstream end of a CONNECT tunnel.

An application behind ``HTTP_PROXY`` asks for a tunnel when it speaks TLS, gRPC or WebSocket.  The
route of the host ends it (``connect_config``): in an internal listener, where HTTP inside meets the
same routes as outside of a tunnel, or at an endpoint, as raw TCP.

Source: Envoy ``source/extensions/upstreams/http/tcp/upstream_request.cc``.
"""

from __future__ import annotations

from mesh.sidecar.memory_transport import connect_in_memory
from mesh.sidecar.stream_info import StreamInfo
from mesh.sidecar.upstream.balancers import Context
from mesh.sidecar.upstream.cluster import Cluster
from mesh.sidecar.upstream.cluster_manager import ClusterManager
from mesh.sidecar.upstream.outlier_detection import Local
from mesh.sidecar.upstream.raw import RawUpstream
from mesh.sidecar.upstream.resets import UpstreamResetError
from mesh.sidecar.upstream.send import NoHealthyHostError


async def open_tunnel(
    clusters: ClusterManager, cluster: Cluster, info: StreamInfo, peer: tuple[str, int]
) -> RawUpstream:
    """Open the upstream end; ``peer`` is the client, whom an internal listener will see.

    Raises NoHealthyHostError or UpstreamResetError, as a request's attempt does.
    """
    context = Context(destination=info.connection.original)
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
