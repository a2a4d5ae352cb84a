"""The pool against a model, with real connections: nobody waits while there is a place."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from mesh.sidecar.upstream.circuit_breaker import Resource
from mesh.sidecar.upstream.http1 import UpstreamConnection
from mesh.sidecar.upstream.message import UpstreamRequest
from mesh.sidecar.upstream.pool import HostPool, PoolSettings

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"
PATIENCE = 30.0
"""Seconds after which an event that has to come counts as missing."""


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while await reader.readuntil(b"\r\n\r\n"):
            writer.write(OK)
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


class Pool(RuleBasedStateMachine):
    """``held``: connections in use; ``waiting``: callers that have none yet."""

    @initialize(limit=st.integers(0, 3), most=st.sampled_from([0, 1, 2]))
    def start(self, limit: int, most: int) -> None:
        self.folder = tempfile.TemporaryDirectory()
        path = str(Path(self.folder.name) / "s")
        self.loop = asyncio.new_event_loop()
        self.server = self.loop.run_until_complete(asyncio.start_unix_server(answer, path))
        self.limit = Resource("connections", limit)
        self.places = max(limit, 1)  # a pool without a connection may always open one
        self.pool = HostPool(path, 0, PoolSettings(max_requests=most))
        self.held: list[UpstreamConnection] = []
        self.waiting: list[asyncio.Task[UpstreamConnection]] = []

    @property
    def running(self) -> bool:
        return hasattr(self, "pool")

    def until(self, happened: Callable[[], bool]) -> None:
        async def wait() -> None:
            async with asyncio.timeout(PATIENCE):
                while not happened():
                    await asyncio.sleep(0)

        self.loop.run_until_complete(wait())

    def settle(self) -> None:
        """Let happen what has to: as many callers have a connection as there are places."""
        demand = len(self.held) + len(self.waiting)

        def done() -> bool:
            ready = [each for each in self.waiting if each.done()]
            self.held += [each.result() for each in ready]
            self.waiting = [each for each in self.waiting if each not in ready]
            return len(self.held) == min(demand, self.places) and (
                self.limit.count == self.pool.active
            )

        self.until(done)

    @rule()
    def ask(self) -> None:
        async def acquire() -> UpstreamConnection:
            return self.pool.take() or await self.pool.acquire(self.limit)

        self.waiting.append(self.loop.create_task(acquire()))
        self.settle()

    @precondition(lambda self: self.running and self.held)
    @rule(data=st.data())
    def use(self, data: st.DataObject) -> None:
        connection = self.held.pop(data.draw(st.integers(0, len(self.held) - 1)))

        async def request() -> int:
            return (await connection.send(UpstreamRequest(b"GET", b"http", b"a", b"/", []))).status

        assert self.loop.run_until_complete(request()) == 200
        self.settle()

    @precondition(lambda self: self.running and self.held)
    @rule(data=st.data())
    def lose(self, data: st.DataObject) -> None:
        connection = self.held.pop(data.draw(st.integers(0, len(self.held) - 1)))
        connection.close()
        self.until(lambda: connection.closed)
        self.settle()

    @precondition(lambda self: self.running and self.waiting)
    @rule(data=st.data())
    def give_up(self, data: st.DataObject) -> None:
        task = self.waiting.pop(data.draw(st.integers(0, len(self.waiting) - 1)))
        task.cancel()
        self.until(task.cancelled)
        self.settle()

    @invariant()
    def limits_hold(self) -> None:
        if not self.running:
            return
        assert self.pool.active <= self.places
        assert len(set(map(id, self.held))) == len(self.held)
        assert not any(each.closed for each in self.held)

    def teardown(self) -> None:
        if not self.running:
            return
        for task in self.waiting:
            task.cancel()
        self.until(lambda: all(each.done() for each in self.waiting))
        self.pool.drain()
        for connection in self.held:
            connection.close()
        self.until(lambda: self.pool.active == 0)
        assert self.limit.count == 0
        self.server.close()
        self.loop.run_until_complete(self.server.wait_closed())
        self.loop.close()
        self.folder.cleanup()


TestPool = Pool.TestCase
TestPool.settings = settings(max_examples=30, stateful_step_count=20)
