"""Attempt: one try of a request at one endpoint.

Retries make several attempts of one request; each takes a pooled connection or opens one, sends
the request, and ends with an answer or an UpstreamResetError.  Like Envoy, an attempt never sends
again on its own: whether to try once more is the retry policy's decision.

Circuit breakers stand here: a request runs on a connection (``requests``), or waits for one
(``pending_requests``); when there is no place, it fails at once (503 UO).
"""

from __future__ import annotations

from functools import partial

from mesh.sidecar.stream_info import StreamInfo
from mesh.sidecar.upstream.circuit_breaker import CircuitBreaker
from mesh.sidecar.upstream.cluster import Cluster
from mesh.sidecar.upstream.host import Host
from mesh.sidecar.upstream.http1 import UpstreamConnection
from mesh.sidecar.upstream.http2 import Http2Stream
from mesh.sidecar.upstream.message import UpstreamRequest, UpstreamResponse
from mesh.sidecar.upstream.outlier_detection import Local
from mesh.sidecar.upstream.resets import UpstreamResetError


def overflow() -> UpstreamResetError:
    """Describe a request that a circuit breaker turned away."""
    return UpstreamResetError("overflow", "UO")


async def _connect(
    cluster: Cluster, host: Host, priority: int, downstream: str
) -> UpstreamConnection | Http2Stream:
    """Take a connection to ``host`` or open one, within the circuit breaker's limits."""
    breaker = cluster.breakers.of(priority)
    pool = cluster.pool(host, downstream)
    connection: UpstreamConnection | Http2Stream | None = pool.take()
    if connection is None:
        if not breaker.pending_requests.admit():
            raise overflow()
        cluster.counters["upstream_rq_pending_total"] += 1
        try:
            connection = await pool.acquire(breaker.connections)
        except UpstreamResetError as reset:
            cluster.report_local(
                host, Local.TIMEOUT if reset.reason == "connection timeout" else Local.FAILED
            )
            raise
        finally:
            breaker.pending_requests.release()
        cluster.report_local(host, Local.CONNECTED)
    return connection


def _release(breaker: CircuitBreaker, host: Host) -> None:
    """Give the place of a request back whose answer has been streamed to its end."""
    host.active_requests -= 1
    breaker.requests.release()


async def attempt(
    cluster: Cluster, host: Host, request: UpstreamRequest, info: StreamInfo, priority: int = 0
) -> tuple[UpstreamResponse, UpstreamConnection | Http2Stream]:
    """Send ``request`` to ``host`` and wait for the head of the answer.

    Raises UpstreamResetError; its ``started`` says whether a byte of the request had been sent.  When
    the caller gives up (a timeout, a client that left) the connection is closed, because the
    rest of the answer would still come.
    """
    breaker = cluster.breakers.of(priority)
    host.active_requests += 1
    connection: UpstreamConnection | Http2Stream | None = None
    admitted = answered = held = False
    try:
        connection = await _connect(cluster, host, priority, info.protocol)
        if not breaker.requests.admit():
            raise overflow()
        admitted = True
        cluster.counters["upstream_rq_total"] += 1
        cluster.host_counters[host.key]["rq_total"] += 1
        info.hosts_attempted.append(host.key)
        connection.owner = info
        response = await connection.send(request)
        answered = True
        cluster.report_status(host, response.status)
        if response.stream is not None and not response.stream.complete:
            response.stream.on_end.append(partial(_release, breaker, host))
            held = True
        return response, connection
    except UpstreamResetError as reset:
        if connection is not None and reset.flag != "UO":
            reset.started = True
            cluster.report_local(host, Local.FAILED)
        raise
    finally:
        if not held:
            host.active_requests -= 1
            if admitted:
                breaker.requests.release()
        if connection is not None and not answered:
            if admitted:
                connection.abandon(info)
            else:
                connection.give_back()
