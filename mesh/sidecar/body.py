"""BodyStream: a message body that is passed on while it still arrives.

A body that came with its head travels as ``bytes``; any other flows through this object with
backpressure: the reader of a fast peer is paused until the writer to a slow peer has caught up.
A request that may be sent again (a retry) or copied (a mirror) is kept while it passes, up to a
limit, as Envoy buffers it; beyond the limit it is sent once (``retry_or_shadow_abandoned``).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

SMALL_BODY = 64 * 1024
"""Bytes up to which a body is collected before it is passed on."""

BUFFER_LIMIT = 1024 * 1024
"""Envoy's default ``per_connection_buffer_limit_bytes``."""

Trailers = list[tuple[bytes, bytes]]


def _nothing() -> None:
    """Do nothing: nobody has to be paused."""


class BodyStream:
    """A queue of bytes between two connections.

    ``pause`` and ``resume`` are called when more than ``SMALL_BODY`` bytes wait, and when they
    have gone; ``limit`` bounds what ``keep`` holds.  Iterating raises what ``fail`` was given.  ``on_end`` are called once, when the
    body is complete (``trailers`` are known then) or has failed.
    """

    def __init__(
        self,
        pause: Callable[[], None] = _nothing,
        resume: Callable[[], None] = _nothing,
        limit: int = BUFFER_LIMIT,
    ) -> None:
        self._pause = pause
        self._resume = resume
        self._chunks: deque[bytes] = deque()
        self._waiting = 0
        self._paused = False
        self._ended = False
        self._error: Exception | None = None
        self._wake: asyncio.Future[None] | None = None
        self._kept: bytearray | None = None
        self._limit = limit
        self.size = 0
        self.trailers: Trailers = []
        self.on_end: list[Callable[[], None]] = []

    @property
    def complete(self) -> bool:
        """Whether all of the body has been fed, or its end is known to be missing."""
        return self._ended

    @property
    def failed(self) -> bool:
        """Whether the body was cut short."""
        return self._error is not None

    @property
    def kept(self) -> bytes | None:
        """All that has been fed so far, or None when it is not kept (any more)."""
        return bytes(self._kept) if self._kept is not None else None

    def keep(self) -> None:
        """Keep what passes, up to ``limit`` bytes, for ``rewind``; to be called before reading."""
        if self._kept is None:
            self._kept = bytearray().join(self._chunks)
            self._check_limit()

    def rewind(self) -> bool:
        """Begin to read anew; False when the body was too large to keep."""
        if self._kept is None:
            return False
        self._chunks.clear()
        if self._kept:
            self._chunks.append(bytes(self._kept))
        self._waiting = len(self._kept)
        return True

    def feed(self, data: bytes) -> None:
        """Append ``data``."""
        if not data or self._ended:
            return
        self._chunks.append(data)
        self.size += len(data)
        self._waiting += len(data)
        if self._kept is not None:
            self._kept += data
            self._check_limit()
        if self._waiting > SMALL_BODY and not self._paused:
            self._paused = True
            self._pause()
        self._notify()

    def _check_limit(self) -> None:
        if self._kept is not None and len(self._kept) > self._limit:
            self._kept = None

    def end(self, trailers: Trailers | None = None) -> None:
        """Mark the body complete."""
        if self._ended:
            return
        self._ended = True
        self.trailers = trailers or []
        self._notify()
        for callback in self.on_end:
            callback()

    def fail(self, error: Exception) -> None:
        """Mark the body cut short by ``error``; nothing happens when it is already complete."""
        if not self._ended:
            self._ended = True
            self._error = error
            self._notify()
            for callback in self.on_end:
                callback()

    def _notify(self) -> None:
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

    def __aiter__(self) -> BodyStream:
        return self

    async def __anext__(self) -> bytes:
        while not self._chunks:
            if self._ended:
                if self._error is not None:
                    raise self._error
                raise StopAsyncIteration
            self._wake = asyncio.get_running_loop().create_future()
            await self._wake
        data = b"".join(self._chunks) if len(self._chunks) > 1 else self._chunks[0]
        self._chunks.clear()
        self._waiting = 0
        if self._paused:
            self._paused = False
            self._resume()
        return data
