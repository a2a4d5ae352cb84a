"""A connection that many requests share one after another: none of them harms the next."""

from __future__ import annotations

import asyncio
import socket
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from mesh.sidecar.upstream.http1 import UpstreamConnection
from mesh.sidecar.upstream.message import UpstreamRequest
from mesh.sidecar.upstream.pool import HostPool, PoolSettings
from mesh.sidecar.upstream.resets import UpstreamResetError

LARGE = 1_000_000


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while head := await reader.readuntil(b"\r\n\r\n"):
            path = head.split(b" ")[1]
            if path == b"/close":
                break
            size = LARGE if path == b"/large" else 2
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % size + b"a" * size)
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


def request(path: bytes) -> UpstreamRequest:
    return UpstreamRequest(b"GET", b"http", b"a", path, [], b"")


@asynccontextmanager
async def opened() -> AsyncIterator[tuple[HostPool, UpstreamConnection]]:
    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    pool = HostPool("127.0.0.1", server.sockets[0].getsockname()[1], PoolSettings())
    try:
        async with asyncio.timeout(60):
            yield pool, await pool.open()
    finally:
        pool.abort()
        server.close()


async def until_idle(pool: HostPool) -> UpstreamConnection:
    while (connection := pool.take()) is None:
        await asyncio.sleep(0)
    return connection


async def test_who_gives_up_too_late_does_not_cut_the_next_request() -> None:
    async with opened() as (pool, connection):
        first, second = object(), object()
        connection.owner = first
        given_up = connection.send(request(b"/"))
        assert await until_idle(pool) is connection
        connection.owner = second
        wanted = connection.send(request(b"/"))
        connection.abandon(first)
        assert (await wanted).body == b"aa"
        assert (await given_up).body == b"aa"
        assert not connection.closed


async def test_who_gives_up_in_time_closes_the_connection() -> None:
    async with opened() as (_, connection):
        connection.owner = owner = object()
        pending = connection.send(request(b"/large"))
        connection.abandon(owner)
        with pytest.raises(UpstreamResetError):
            await pending


async def test_a_body_that_nobody_reads_does_not_stop_the_next_answer() -> None:
    async with opened() as (pool, connection):
        response = await connection.send(request(b"/large"))
        assert response.stream is not None
        async for _ in response.stream:
            if response.stream.size > LARGE - 200_000:
                break  # the rest comes, and is left where it is
        while not response.stream.complete:
            connection.transport.resume_reading()
            await asyncio.sleep(0)
        assert await until_idle(pool) is connection
        assert (await connection.send(request(b"/"))).body == b"aa"


async def test_a_connection_lost_after_a_long_answer_is_told_to_the_next_request() -> None:
    async with opened() as (pool, connection):
        response = await connection.send(request(b"/large"))
        assert response.stream is not None
        async for _ in response.stream:
            pass
        assert await until_idle(pool) is connection
        with pytest.raises(UpstreamResetError):
            await connection.send(request(b"/close"))


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells of an end nobody has read")
async def test_a_peer_that_left_is_not_asked_though_the_loop_has_not_read_of_it() -> None:
    left = threading.Event()

    def once(server: socket.socket) -> None:
        peer, _ = server.accept()
        with peer:
            while b"\r\n\r\n" not in peer.recv(65536):
                pass
            peer.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
        left.set()

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=once, args=(server,))
        thread.start()
        pool = HostPool("127.0.0.1", server.getsockname()[1], PoolSettings())
        connection = await pool.open()
        answered = connection.send(request(b"/"))
        answered.add_done_callback(lambda _: left.wait())  # the loop reads nothing meanwhile
        await answered
        assert pool.take() is None
        pool.abort()
        thread.join()
