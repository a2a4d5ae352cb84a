"""ConnectionHandler: one accepted client connection, without mitmproxy's layer machinery.

Stock mitmproxy runs every event of a connection through layers, commands and tasks, which costs
several times what the work itself costs.  Here a codec does the same in a straight line.  Which
one shows in the first bytes: HTTP/2 begins with a preface that no HTTP/1 request can have
(``codec_type: AUTO``), and whoever negotiated ``h2`` by ALPN speaks it.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, Protocol, cast

from mitmproxy.connection import Client, ConnectionState, Server

from mesh.sidecar.mitm.server_http1 import Http1Server
from mesh.sidecar.mitm.server_http2 import Http2Server
from mesh.sidecar.stream_info import ConnectionInfo, StreamInfo

if TYPE_CHECKING:
    from mesh.sidecar.http_connection_manager import HttpConnectionManager
    from mesh.sidecar.listener import ActiveListener


MAGIC = b"PRI * HTTP/2"
"""How an HTTP/2 connection begins."""


def connection_info(transport: asyncio.Transport) -> ConnectionInfo:
    """Read the addresses of a connection."""
    peer = transport.get_extra_info("peername") or ("", 0)
    own = transport.get_extra_info("sockname") or ("", 0)
    return ConnectionInfo((str(peer[0]), int(peer[1])), (str(own[0]), int(own[1])))


class ServerCodec(Protocol):
    """One version of HTTP on a connection."""

    @property
    def busy(self) -> bool:
        """Whether a request is being served."""

    def data_received(self, data: bytes) -> None:
        """Take bytes of the client."""

    def drain(self) -> None:
        """Announce with the next answer that the connection ends."""

    def close_idle(self) -> bool:
        """Close when no request is being served, else after it; tell whether it was closed."""

    def pause_writing(self) -> None:
        """Wait: the client reads too slowly."""

    def resume_writing(self) -> None:
        """Go on: there is room again."""

    def connection_lost(self) -> None:
        """Take note that the client is gone."""


class ConnectionHandler(asyncio.Protocol):
    """Serve one connection of ``listener`` under the configuration it was accepted with.

    ``connection`` is known when somebody has looked at the connection before (TLS, inspectors).
    """

    def __init__(
        self,
        listener: ActiveListener,
        hcm: HttpConnectionManager,
        connection: ConnectionInfo | None = None,
    ) -> None:
        self.listener = listener
        self.hcm = hcm
        self._known = connection
        self.loop = asyncio.get_running_loop()
        self.closed = asyncio.Event()
        self.codec: ServerCodec | None = None
        self.idle_since = 0.0
        self._requests = 0
        self._first = b""
        self._leaving = False
        self._timers: list[asyncio.TimerHandle] = []

    @property
    def busy(self) -> bool:
        """Whether a request is being served."""
        return self.codec is not None and self.codec.busy

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by asyncio: a client connected."""
        self.transport = cast(asyncio.Transport, transport)
        self.info = info = self._known or connection_info(self.transport)
        self._remote_text = f"{info.remote[0]}:{info.remote[1]}"
        self._peer_uri_san = info.peer_uri_san
        self.client = Client(
            peername=info.remote,
            sockname=info.local,
            state=ConnectionState.OPEN,
            proxy_mode=self.listener.mode,
        )
        tls = info.tls
        self.secure = tls is not None
        if tls is not None:
            self.client.tls = True
            self.client.sni = tls.server_name or None
            self.client.tls_version = cast(Any, tls.version)
            self.client.alpn = tls.alpn.encode()
        self.server = Server(address=None)
        self.listener.connections.add(self)
        self._leaving = self.listener.draining
        hcm = self.hcm
        hcm.count_connection(1)
        self.idle_since = self.loop.time()
        if hcm.idle_timeout:
            self._timers.append(self.loop.call_later(hcm.idle_timeout, self._look_idle))
        if hcm.max_connection_duration:
            self._timers.append(self.loop.call_later(hcm.max_connection_duration, self._too_old))

    def describe(self, info: StreamInfo) -> None:
        """Write into ``info`` what the connection knows of its client."""
        info.downstream_remote_address = self._remote_text
        info.downstream_peer_uri_san = self._peer_uri_san
        info.requested_server_name = self.info.server_name
        info.route_table = self.hcm.routes

    def data_received(self, data: bytes) -> None:
        """Called by asyncio with bytes of the client."""
        if self.codec is None:
            data = self._first + data
            if self.hcm.may_be_http2 and data[:1] == b"P":
                if MAGIC.startswith(data[: len(MAGIC)]) and len(data) < len(MAGIC):
                    self._first = data
                    return
                if data.startswith(MAGIC):
                    self.codec = Http2Server(self)
            if self.codec is None:
                self.codec = Http1Server(self)
        self.codec.data_received(data)
        if self._leaving and self.codec.busy:
            self._leaving = False
            self.codec.drain()

    def count_request(self) -> None:
        """Take note of a request; the answer to the last one that is allowed says so."""
        self._requests += 1
        if self._requests == self.hcm.max_requests:
            self.hcm.count("downstream_cx_max_requests_reached")
            self.drain()

    def _look_idle(self) -> None:
        """Close a connection that has had no request for too long."""
        self._timers.clear()
        left = self.idle_since + self.hcm.idle_timeout - self.loop.time()
        if self.busy:
            left = self.hcm.idle_timeout
        elif left <= 0.0005:
            self.hcm.count("downstream_cx_idle_timeout")
            self.close()
            return
        self._timers.append(self.loop.call_later(left, self._look_idle))

    def _too_old(self) -> None:
        """Let the next answer end the connection; without one it ends after the drain timeout."""
        self.hcm.count("downstream_cx_max_duration_reached")
        self.drain()
        self._timers.append(self.loop.call_later(self.hcm.drain_timeout, self.close))

    def drain(self) -> None:
        """Answer the request under way, or the next one, with ``connection: close``."""
        if self.codec is None:
            self._leaving = True  # which HTTP it speaks, its first bytes will tell
        else:
            self.codec.drain()

    def close(self) -> None:
        """Close now, unless a request is being served: then after its answer."""
        if self.codec is None or self.codec.close_idle():
            self.transport.close()

    def abort(self) -> None:
        """Close at once."""
        if not self.closed.is_set():
            self.transport.abort()

    def pause_writing(self) -> None:
        """Called by asyncio: the client reads too slowly."""
        if self.codec is not None:
            self.codec.pause_writing()

    def resume_writing(self) -> None:
        """Called by asyncio: there is room again."""
        if self.codec is not None:
            self.codec.resume_writing()

    def connection_lost(self, error: Exception | None) -> None:
        """Called by asyncio: the client is gone."""
        self.client.state = ConnectionState.CLOSED
        self.client.timestamp_end = time.time()
        self.listener.connections.discard(self)
        self.hcm.count_connection(-1)
        self.closed.set()
        for timer in self._timers:
            timer.cancel()
        if self.codec is not None:
            self.codec.connection_lost()
