"""RawUpstream: an upstream connection whose bytes are no request any more.

The upstream end of a CONNECT tunnel (``open_tunnel``) and of a TCP health check.

Source: Envoy ``source/extensions/upstreams/http/tcp/upstream_request.cc``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast


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
