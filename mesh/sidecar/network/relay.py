"""Relay: two connections whose bytes go to each other, each direction with its own end.

Backpressure goes through: while one side cannot be written to, the other is not read.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import time
from typing import TYPE_CHECKING, cast

from mesh.sidecar.mitm.connection import connection_info
from mesh.sidecar.stream_info import ConnectionInfo, StreamInfo
from mesh.sidecar.upstream.balancers import Context
from mesh.sidecar.upstream.cluster import Cluster
from mesh.sidecar.upstream.host import Host
from mesh.sidecar.upstream.outlier_detection import Local
from mesh.sidecar.upstream.resets import UpstreamResetError

if TYPE_CHECKING:
    from mesh.sidecar.listener import ActiveListener
    from mesh.sidecar.network.tcp_proxy import TcpProxy


class End(asyncio.Protocol):
    """One of the two connections; ``ended`` is true once its peer has closed its direction."""

    transport: asyncio.Transport

    def __init__(self, relay: Relay, is_client: bool) -> None:
        self._relay = relay
        self._is_client = is_client
        self.connected = False
        self.ended = False
        self.closed = asyncio.Event()

    @property
    def busy(self) -> bool:
        """A connection without requests has none to finish."""
        return False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by asyncio."""
        self.transport = cast(asyncio.Transport, transport)
        self.connected = True
        if self._is_client:
            self._relay.client_connected()

    def data_received(self, data: bytes) -> None:
        """Called by asyncio: pass the bytes on."""
        self._relay.pass_on(self, data)

    def eof_received(self) -> bool:
        """Called by asyncio: this side sends nothing more, the other still may."""
        self.ended = True
        return self._relay.half_closed(self)

    def pause_writing(self) -> None:
        """Called by asyncio: this side reads too slowly."""
        self._relay.other(self).pause()

    def resume_writing(self) -> None:
        """Called by asyncio: there is room again."""
        self._relay.other(self).resume()

    def pause(self) -> None:
        """Read no more for now."""
        if self.connected and not self.transport.is_closing():
            self.transport.pause_reading()

    def resume(self) -> None:
        """Read on."""
        if self.connected and not self.transport.is_closing():
            self.transport.resume_reading()

    def connection_lost(self, error: Exception | None) -> None:
        """Called by asyncio: the connection is gone."""
        self.connected = False
        self.closed.set()
        self._relay.lost(self, error)

    def drain(self) -> None:
        """Go on: Envoy, too, leaves open TCP connections when a listener is replaced."""

    def close(self) -> None:
        """Close after what is written has been sent."""
        if self.connected:
            self.transport.close()

    def abort(self) -> None:
        """Close at once."""
        if self.connected:
            self.transport.abort()

    def reset(self) -> None:
        """Break off: the peer sees a reset, not an orderly end."""
        if self.connected:
            sock = self.transport.get_extra_info("socket")
            if sock is not None and sock.family != socket.AF_UNIX:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.transport.abort()


class Relay:
    """One client connection, its upstream connection, and the facts for the log."""

    def __init__(
        self, proxy: TcpProxy, listener: ActiveListener, connection: ConnectionInfo | None
    ) -> None:
        self._proxy = proxy
        self._listener = listener
        self._connection = connection
        self._info = StreamInfo(time.time(), proxy.clock(), protocol="")
        self._early = bytearray()
        self._cluster: Cluster | None = None
        self._host: Host | None = None
        self._task: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._last = 0.0
        self._logged = False
        self.downstream = End(self, is_client=True)
        self.upstream: End | None = None

    def other(self, end: End) -> End:
        """Return the other connection."""
        if end is self.downstream:
            return self.upstream or End(self, is_client=False)
        return self.downstream

    def client_connected(self) -> None:
        """Begin: nothing is read of the client until somebody can take it."""
        transport = self.downstream.transport
        connection = self._connection or connection_info(transport)
        info = self._info
        info.connection = connection
        info.downstream_remote_address = f"{connection.remote[0]}:{connection.remote[1]}"
        info.downstream_peer_uri_san = connection.peer_uri_san
        info.requested_server_name = connection.server_name
        self._listener.connections.add(self.downstream)
        transport.pause_reading()
        self._task = asyncio.get_running_loop().create_task(self._connect())

    async def _connect(self) -> None:
        proxy, info = self._proxy, self._info
        name = proxy.choose()
        cluster = proxy.cluster(name)
        if cluster is None:
            proxy.count("downstream_cx_no_route")
            self._fail("NC")
            return
        self._cluster = cluster
        info.cluster = name
        limit = cluster.breakers.of(0).connections
        for _ in range(proxy.max_connect_attempts):
            if not limit.admit():
                self._fail("UO")
                return
            host = cluster.choose(Context(destination=info.connection.original))
            if host is None:
                limit.release()
                cluster.counters["upstream_cx_none_healthy"] += 1
                self._fail("UH")
                return
            info.upstream_host = host.key
            info.attempts += 1
            info.hosts_attempted.append(host.key)
            try:
                upstream = await cluster.raw_pool(host).connect(lambda: End(self, is_client=False))
            except UpstreamResetError as reset:
                limit.release()
                timed_out = reset.reason == "connection timeout"
                cluster.report_local(host, Local.TIMEOUT if timed_out else Local.FAILED)
                info.flag("UF")
                info.upstream_transport_failure_reason = reset.transport
                continue
            except asyncio.CancelledError:
                limit.release()
                raise
            cluster.report_local(host, Local.CONNECTED)
            if not upstream.connected:  # gone already
                limit.release()
                self.downstream.close()
                return
            self._host = host
            self._start(upstream, cluster, host)
            return
        cluster.counters["upstream_cx_connect_attempts_exceeded"] += 1
        self._fail("URX")

    def _start(self, upstream: End, cluster: Cluster, host: Host) -> None:
        self._info.flags.clear()  # an earlier attempt's failure
        self.upstream = upstream
        cluster.raw_pool(host).raw += 1
        cluster.counters["upstream_rq_total"] += 1
        if self._early:
            upstream.transport.write(bytes(self._early))
            self._early.clear()
        if self.downstream.ended:
            upstream.transport.write_eof()
        self.downstream.resume()
        self._last = self._proxy.clock()
        if self._proxy.idle_timeout:
            self._watch(self._proxy.idle_timeout)

    def _fail(self, flag: str) -> None:
        self._info.flag(flag)
        self.downstream.close()
        self._log()

    def pass_on(self, end: End, data: bytes) -> None:
        """Take bytes of ``end`` to the other side."""
        self._last = self._proxy.clock()
        if end is self.downstream:
            self._info.bytes_received += len(data)
            if self.upstream is None:
                self._early += data
            else:
                self.upstream.transport.write(data)
        else:
            self._info.bytes_sent += len(data)
            self.downstream.transport.write(data)

    def half_closed(self, end: End) -> bool:
        """Close the other side's direction too; both closed is the end."""
        other = self.other(end)
        if other.ended:
            other.close()
            return False
        if other.connected:
            other.transport.write_eof()
        return True

    def _watch(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(seconds, self._look)

    def _look(self) -> None:
        left = self._last + self._proxy.idle_timeout - self._proxy.clock()
        if left > 0:
            self._watch(left)
            return
        self._proxy.count("idle_timeout")
        self.downstream.close()
        if self.upstream is not None:
            self.upstream.close()

    def lost(self, end: End, error: Exception | None) -> None:
        """One side is gone: so has the other to go, after what was sent to it."""
        if end is self.downstream:
            self._listener.connections.discard(end)
            if self._task is not None:
                self._task.cancel()
        elif self._cluster is not None and self._host is not None and self.upstream is end:
            self._cluster.raw_pool(self._host).raw -= 1
            self._cluster.breakers.of(0).connections.release()
            if isinstance(error, ConnectionResetError):
                self._info.flag("UR")
        other = self.other(end)
        if isinstance(error, ConnectionResetError):
            other.reset()
        else:
            other.close()
        if not other.connected:
            self._log()

    def _log(self) -> None:
        if self._logged:
            return
        self._logged = True
        if self._timer is not None:
            self._timer.cancel()
        self._info.ended = self._proxy.clock()
        self._proxy.count("downstream_cx_rx_bytes_total", self._info.bytes_received)
        self._proxy.count("downstream_cx_tx_bytes_total", self._info.bytes_sent)
        self._proxy.log(self._info)
