"""Tunnel: bytes both ways after an answer 101 (WebSocket) or to CONNECT, with backpressure.

Whichever side is slow stops the reading from the other.  The tunnel ends when either side closes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from mesh.sidecar.stream_info import StreamInfo


class TunnelEnd(Protocol):
    """The upstream side: an HTTP/1.1 connection after 101, or a plain TCP connection."""

    transport: asyncio.Transport
    on_full: Callable[[bool], None] | None

    def tunnel(self, receiver: Callable[[bytes], None]) -> None:
        """Pass every byte to ``receiver``, and ``b""`` at the end."""

    def close(self) -> None:
        """Close after what has been written."""


class Tunnel:
    """Passes bytes between a client's ``transport`` and ``upstream`` until either side closes."""

    def __init__(self, transport: asyncio.Transport, upstream: TunnelEnd, info: StreamInfo) -> None:
        self._transport = transport
        self._upstream = upstream
        self._info = info
        self._ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def from_client(self, data: bytes) -> None:
        """Pass on what the client sent."""
        self._info.bytes_received += len(data)
        if not self._upstream.transport.is_closing():
            self._upstream.transport.write(data)

    def client_full(self, full: bool) -> None:
        """Stop reading from the upstream while the client is slow."""
        _pause(self._upstream.transport, full)

    def _upstream_full(self, full: bool) -> None:
        _pause(self._transport, full)

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
        self._upstream.on_full = self._upstream_full
        self._upstream.tunnel(self._from_upstream)
        if not self._transport.is_reading() and not self._transport.is_closing():
            self._transport.resume_reading()
        try:
            await self._ended
        finally:
            self._upstream.close()


def _pause(transport: asyncio.Transport, full: bool) -> None:
    if transport.is_closing():
        return
    if full:
        transport.pause_reading()
    else:
        transport.resume_reading()
