"""A connection that ends says so in an answer before, never in silence."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

from mesh.sidecar.mitm.server_http1 import Http1Server


class Transport:
    """A client's connection, as far as the end of an answer needs it."""

    closed = False

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    def can_write_eof(self) -> bool:
        return False

    def is_reading(self) -> bool:
        return True


def test_an_answer_whose_head_is_out_does_not_end_a_connection_that_drains() -> None:
    async def run() -> None:
        transport = Transport()
        connection: Any = SimpleNamespace(
            transport=transport, loop=asyncio.get_running_loop(), hcm=SimpleNamespace()
        )
        codec = Http1Server(connection)
        exchange = cast(Any, SimpleNamespace())
        assert not codec.closing()  # the head goes out, without connection: close
        codec.drain()
        codec.finished(exchange)
        assert not transport.closed
        assert codec.closing()  # the next one says it
        codec.finished(exchange)
        assert transport.closed

    asyncio.run(run())
