"""Http2Pool: the connections of one cluster to one endpoint when they speak HTTP/2.

One connection carries all requests; a second one is opened when the peer allows no more streams
on the first, or when it says goodbye.  ``maxRequestsPerConnection`` retires a connection here too.

Source: Envoy ``source/common/http/http2/conn_pool.cc``.
"""

from __future__ import annotations

import asyncio

from mesh.sidecar.tls.context import TlsContext
from mesh.sidecar.upstream.circuit_breaker import Resource
from mesh.sidecar.upstream.http2 import Http2Connection, Http2Stream
from mesh.sidecar.upstream.pool import PoolSettings
from mesh.sidecar.upstream.resets import UpstreamResetError, connection_termination
from mesh.sidecar.upstream.transport_socket import connect


class Http2Pool:
    """HTTP/2 connections to ``address``:``port``; an ``address`` with a ``/`` is a Unix socket."""

    def __init__(
        self, address: str, port: int, settings: PoolSettings, tls: TlsContext | None = None
    ) -> None:
        self.address = address
        self.port = port
        self._tls = tls
        self._settings = settings
        self._connections: list[Http2Connection] = []
        self._opening: asyncio.Task[Http2Connection] | None = None
        self._free = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._draining = False
        self.connections_total = 0
        self.connect_failures = 0

    @property
    def active(self) -> int:
        """How many connections are open."""
        return len(self._connections)

    def take(self) -> Http2Stream | None:
        """Begin a stream on an open connection, or None when one has to be opened."""
        for connection in self._connections:
            if connection.usable:
                return self._stream(connection)
        return None

    def _stream(self, connection: Http2Connection) -> Http2Stream:
        limit = self._settings.max_requests
        if limit and connection.requests + 1 >= limit:
            self._loop_soon(connection)
        return Http2Stream(connection)

    def _loop_soon(self, connection: Http2Connection) -> None:
        """Retire a connection that has had all its requests, once this one has begun."""
        asyncio.get_running_loop().call_soon(connection.drain)

    async def acquire(self, limit: Resource) -> Http2Stream:
        """Open a connection, or wait for a stream: requests that come meanwhile share it."""
        while True:
            stream = self.take()
            if stream is not None:
                return stream
            if self._opening is None:
                if limit.admit():
                    self._begin(limit)
                elif not self._connections:
                    limit.force()
                    self._begin(limit)
            if self._opening is not None:
                await asyncio.shield(self._opening)
            else:
                self._free.clear()
                await self._free.wait()

    def _begin(self, limit: Resource) -> None:
        task = self._opening = asyncio.get_running_loop().create_task(self._open(limit))
        task.add_done_callback(self._opened)

    def _opened(self, task: asyncio.Task[Http2Connection]) -> None:
        self._opening = None
        if not task.cancelled():
            task.exception()  # whoever waits has it

    async def _open(self, limit: Resource) -> Http2Connection:
        def factory() -> Http2Connection:
            return Http2Connection(self._on_free, self._on_closed)

        self.connections_total += 1
        seconds = self._settings.connect_timeout
        try:
            connection = await connect(
                self.address, self.port, self._tls, factory, seconds, [b"h2"]
            )
            if connection.closed:
                raise connection_termination()
        except BaseException as error:
            limit.release()
            if isinstance(error, UpstreamResetError):
                self.connect_failures += 1
            raise
        connection.on_gone = limit.release
        self._connections.append(connection)
        if self._settings.max_age:
            asyncio.get_running_loop().call_later(self._settings.max_age, connection.drain)
        return connection

    def _on_free(self, connection: Http2Connection) -> None:
        self._free.set()
        if connection.active or self._draining:
            return
        loop = asyncio.get_running_loop()
        connection.idle_since = loop.time()
        if self._timer is None and self._settings.idle_timeout:
            self._timer = loop.call_later(self._settings.idle_timeout, self._close_expired)

    def _on_closed(self, connection: Http2Connection) -> None:
        if connection in self._connections:
            self._connections.remove(connection)
            if connection.on_gone is not None:
                connection.on_gone()
        self._free.set()

    def _close_expired(self) -> None:
        """Close what has been idle too long; look again when the next one is due."""
        self._timer = None
        loop = asyncio.get_running_loop()
        deadline = loop.time() - self._settings.idle_timeout
        idle = [item for item in self._connections if not item.active]
        for connection in idle:
            if connection.idle_since <= deadline:
                connection.close()
        left = [item.idle_since for item in idle if item.idle_since > deadline]
        if left:
            due = max(min(left) - deadline, 0.001)
            self._timer = loop.call_later(due, self._close_expired)

    def drain(self) -> None:
        """Close idle connections now and the others after their answers."""
        self._draining = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for connection in list(self._connections):
            connection.drain()

    def abort(self) -> None:
        """Close every connection at once."""
        self.drain()
        for connection in list(self._connections):
            connection.transport.abort()
