"""MemoryTransport: two protocols of one process talk as if over a socket.

Envoy's internal listeners have no port: a connection to one stays inside the proxy.  A tunnel that
an application opened with CONNECT ends in such a listener, so what is inside goes the same way
as any other request.  Source: Envoy "Internal listener".
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any, cast

_HIGH = 64 * 1024


class MemoryTransport(asyncio.Transport):
    """One end; what it writes its peer's protocol receives."""

    def __init__(self, protocol: asyncio.Protocol, extra: dict[str, Any]) -> None:
        super().__init__(extra)
        self._loop = asyncio.get_running_loop()
        self._protocol = protocol
        self._peer: MemoryTransport | None = None
        self._queue: deque[bytes] = deque()
        self._size = 0
        self._reading = True
        self._closing = False
        self._ended = False
        self._writer_paused = False
        self._scheduled = False

    def link(self, peer: MemoryTransport) -> None:
        """Connect this end to the other one."""
        self._peer = peer

    def write(self, data: Any) -> None:
        """Send ``data`` to the other end."""
        peer = self._peer
        if self._closing or peer is None or not data:
            return
        peer.push(bytes(data))
        if peer.waiting > _HIGH and not self._writer_paused:
            self._writer_paused = True
            self._protocol.pause_writing()

    def push(self, data: bytes) -> None:
        """Take what the other end wrote."""
        self._queue.append(data)
        self._size += len(data)
        self._schedule()

    @property
    def waiting(self) -> int:
        """Bytes that have come and were not taken yet."""
        return self._size

    def _schedule(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._deliver)

    def _deliver(self) -> None:
        self._scheduled = False
        while self._queue and self._reading and not self._closing:
            data = self._queue.popleft()
            self._size -= len(data)
            self._protocol.data_received(data)
        peer = self._peer
        if peer is not None and peer._writer_paused and self._size <= _HIGH // 2:
            peer._writer_paused = False
            peer._protocol.resume_writing()
        if not self._queue and self._ended and not self._closing:
            self.close()

    def end(self) -> None:
        """Take note that the other end has closed; what it wrote before still arrives."""
        self._ended = True
        self._schedule()

    def close(self) -> None:
        """Close both ends, the other one after it has got everything."""
        if self._closing:
            return
        self._closing = True
        if self._peer is not None:
            self._peer.end()
        self._loop.call_soon(self._protocol.connection_lost, None)

    def abort(self) -> None:
        """Close at once."""
        self.close()

    def is_closing(self) -> bool:
        """Whether it is closed."""
        return self._closing

    def can_write_eof(self) -> bool:
        """Only both directions can be closed."""
        return False

    def is_reading(self) -> bool:
        """Whether bytes are passed on."""
        return self._reading and not self._closing

    def pause_reading(self) -> None:
        """Pass no bytes on for now."""
        self._reading = False

    def resume_reading(self) -> None:
        """Pass bytes on again."""
        self._reading = True
        self._schedule()

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Hand further bytes to ``protocol``."""
        self._protocol = cast(asyncio.Protocol, protocol)

    def get_protocol(self) -> asyncio.BaseProtocol:
        """Return who gets the bytes."""
        return self._protocol

    def get_write_buffer_size(self) -> int:
        """Bytes that wait for the other end."""
        return self._peer.waiting if self._peer is not None else 0


def connect_in_memory(
    client: asyncio.Protocol, server: asyncio.Protocol, address: tuple[str, int]
) -> None:
    """Connect two protocols; for the server the client comes from ``address``."""
    ours = MemoryTransport(client, {})
    theirs = MemoryTransport(server, {"peername": address, "sockname": ("", 0)})
    ours.link(theirs)
    theirs.link(ours)
    server.connection_made(theirs)
    client.connection_made(ours)
