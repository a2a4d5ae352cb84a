"""BodyStream: a message body that is passed on while it still arrives.

Small bodies travel as ``bytes``; what is larger, or of unknown length, flows through this object
with backpressure: the reader of a fast peer is paused until the writer to a slow peer has caught up.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

SMALL_BODY = 64 * 1024
"""Bytes up to which a body is collected before it is passed on."""


class BodyStream:
    """A queue of bytes between two connections.

    ``pause`` and ``resume`` are called when more than ``SMALL_BODY`` bytes wait, and when they
    have gone.  Iterating raises what ``fail`` was given.
    """

    def __init__(self, pause: Callable[[], None], resume: Callable[[], None]) -> None:
        self._pause = pause
        self._resume = resume
        self._chunks: deque[bytes] = deque()
        self._waiting = 0
        self._paused = False
        self._ended = False
        self._error: Exception | None = None
        self._wake: asyncio.Future[None] | None = None
        self.size = 0

    @property
    def complete(self) -> bool:
        """Whether all of the body has been fed, or its end is known to be missing."""
        return self._ended

    def feed(self, data: bytes) -> None:
        """Append ``data``."""
        if not data or self._ended:
            return
        self._chunks.append(data)
        self.size += len(data)
        self._waiting += len(data)
        if self._waiting > SMALL_BODY and not self._paused:
            self._paused = True
            self._pause()
        self._notify()

    def end(self) -> None:
        """Mark the body complete."""
        self._ended = True
        self._notify()

    def fail(self, error: Exception) -> None:
        """Mark the body cut short by ``error``; nothing happens when it is already complete."""
        if not self._ended:
            self._ended = True
            self._error = error
            self._notify()

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
