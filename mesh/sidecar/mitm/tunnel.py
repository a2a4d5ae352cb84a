"""Tunnel: bytes both ways after an answer 101, as WebSocket needs."""

from __future__ import annotations

import asyncio

from mesh.sidecar.stream_info import StreamInfo
from mesh.sidecar.upstream.http1 import UpstreamConnection


class Tunnel:
    """Passes bytes between a client's ``transport`` and ``upstream`` until either side closes."""

    def __init__(
        self, transport: asyncio.Transport, upstream: UpstreamConnection, info: StreamInfo
    ) -> None:
        self._transport = transport
        self._upstream = upstream
        self._info = info
        self._ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def from_client(self, data: bytes) -> None:
        """Pass on what the client sent."""
        self._info.bytes_received += len(data)
        self._upstream.transport.write(data)

    def _from_upstream(self, data: bytes) -> None:
        if data and not self._transport.is_closing():
            self._info.bytes_sent += len(data)
            self._transport.write(data)
        elif not data and not self._ended.done():
            self._ended.set_result(None)

    async def run(self, early: bytes) -> None:
        """Run to the end; ``early`` is what the client sent behind its request."""
        if early:
            self.from_client(early)
        self._upstream.tunnel(self._from_upstream)
        try:
            await self._ended
        finally:
            self._upstream.close()
