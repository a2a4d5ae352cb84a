"""HostPool: the connections of one cluster to one endpoint.

Envoy keeps a pool per cluster and host; a request takes an idle connection or opens one.  A
connection that stays idle longer than the cluster's idle timeout is closed, which has to happen
before the application closes it: a request sent into a closing connection is lost (503 UC).
Istio sets it by ``trafficPolicy.connectionPool.http.idleTimeout`` of a DestinationRule.
See it with ``curl ADMIN/clusters?format=json``.

Source: Envoy "Connection pooling" (intro/arch_overview/upstream/connection_pooling).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from mesh.sidecar.tls.context import TlsContext
from mesh.sidecar.upstream.circuit_breaker import Resource
from mesh.sidecar.upstream.http1 import UpstreamConnection
from mesh.sidecar.upstream.resets import UpstreamResetError, connection_termination
from mesh.sidecar.upstream.transport_socket import connect


@dataclass(frozen=True, slots=True)
class PoolSettings:
    """Times in seconds; ``max_requests`` 0 means no limit; ``idle_timeout`` 0 never closes.

    ``max_age``: after which a connection takes no further request, 0 for never.
    ``http2``: always; ``downstream_protocol``: for requests that came by HTTP/2.
    """

    connect_timeout: float = 5.0
    idle_timeout: float = 3600.0
    max_requests: int = 0
    max_age: float = 0.0
    http2: bool = False
    downstream_protocol: bool = False


class HostPool:
    """Connections to ``address``:``port``; an ``address`` with a ``/`` is a Unix socket.

    ``raw`` counts those that carry no HTTP; they belong to whoever opened them.
    """

    def __init__(
        self, address: str, port: int, settings: PoolSettings, tls: TlsContext | None = None
    ) -> None:
        self.address = address
        self.port = port
        self._tls = tls
        self._settings = settings
        self._idle: list[UpstreamConnection] = []
        self._all: set[UpstreamConnection] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._draining = False
        self._opening = 0
        self._waiting: deque[asyncio.Future[UpstreamConnection | None]] = deque()
        self.connections_total = 0
        self.raw = 0
        self.connect_failures = 0

    @property
    def active(self) -> int:
        """How many connections are open or being opened, as Envoy counts them."""
        return len(self._all) + self._opening + self.raw

    def take(self) -> UpstreamConnection | None:
        """Take an idle connection, or None when one has to be opened."""
        while self._idle:
            connection = self._idle.pop()
            if connection.reusable and not connection.left:
                return connection
        return None

    async def open(self) -> UpstreamConnection:
        """Open a connection.  Raises UpstreamResetError with Envoy's reason when that fails."""

        def factory() -> UpstreamConnection:
            return UpstreamConnection(self._on_idle, self._on_closed)

        connection = await self.connect(factory, [b"http/1.1"])
        if connection.closed:
            self.connect_failures += 1
            raise connection_termination()
        self._all.add(connection)
        if self._settings.max_age:
            loop = asyncio.get_running_loop()
            connection.expiry = loop.call_later(self._settings.max_age, self._too_old, connection)
        return connection

    def _too_old(self, connection: UpstreamConnection) -> None:
        connection.reusable = False
        if connection in self._idle:
            self._idle.remove(connection)
            connection.close()

    async def connect[P: asyncio.Protocol](
        self, factory: Callable[[], P], alpn: list[bytes] | None = None
    ) -> P:
        """Open a connection for ``factory()``.  Raises UpstreamResetError with Envoy's reason."""
        self.connections_total += 1
        try:
            return await connect(
                self.address, self.port, self._tls, factory, self._settings.connect_timeout, alpn
            )
        except UpstreamResetError:
            self.connect_failures += 1
            raise

    async def acquire(self, limit: Resource) -> UpstreamConnection:
        """Open a connection, or wait for one when ``limit`` (all of the cluster) is reached.

        The first connection of a pool may always be opened: other hosts must not starve it.
        """
        while not limit.admit():
            if not self._all and not self._opening:
                limit.force()
                break
            waiter: asyncio.Future[UpstreamConnection | None]
            waiter = asyncio.get_running_loop().create_future()
            self._waiting.append(waiter)
            try:
                connection = await waiter
            except asyncio.CancelledError:
                if waiter.done() and not waiter.cancelled():
                    given = waiter.result()
                    if given is not None:
                        self._on_idle(given)
                raise
            if connection is not None:
                return connection
        self._opening += 1
        try:
            connection = await self.open()
        except BaseException:
            limit.release()
            raise
        finally:
            self._opening -= 1
        connection.on_gone = limit.release
        return connection

    def _on_idle(self, connection: UpstreamConnection) -> None:
        limit = self._settings.max_requests
        if not connection.reusable or self._draining or (limit and connection.requests >= limit):
            connection.close()
            return
        if self._hand_over(connection):
            return
        loop = asyncio.get_running_loop()
        connection.idle_since = loop.time()
        self._idle.append(connection)
        if self._timer is None and self._settings.idle_timeout:
            self._timer = loop.call_later(self._settings.idle_timeout, self._close_expired)

    def _hand_over(self, connection: UpstreamConnection | None) -> bool:
        """Give ``connection`` (None: leave to open one) to whoever waits longest."""
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(connection)
                return True
        return False

    def _on_closed(self, connection: UpstreamConnection) -> None:
        if connection.expiry is not None:
            connection.expiry.cancel()
        if connection in self._all:
            self._all.discard(connection)
            if connection.on_gone is not None:
                connection.on_gone()
            self._hand_over(None)
        if connection in self._idle:
            self._idle.remove(connection)

    def _close_expired(self) -> None:
        """Close what has been idle too long; look again when the next one is due."""
        self._timer = None
        loop = asyncio.get_running_loop()
        deadline = loop.time() - self._settings.idle_timeout
        keep = [item for item in self._idle if item.idle_since > deadline]
        for connection in self._idle:
            if connection.idle_since <= deadline:
                connection.close()
        self._idle = keep
        if keep:
            due = min(item.idle_since for item in keep) - deadline
            self._timer = loop.call_later(max(due, 0.001), self._close_expired)

    def drain(self) -> None:
        """Close idle connections now and the others after their answer."""
        self._draining = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def abort(self) -> None:
        """Close every connection at once."""
        self.drain()
        for connection in list(self._all):
            connection.abort()
