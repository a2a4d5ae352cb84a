"""The network of a pod in a ``FakeCluster``: what its environment's ``http_proxy`` stands for.

A real pod's connections are captured by its sidecar, or (without one) go to pods and services
directly; locally they are told apart here.  ``CONNECT 127.0.0.1`` is the pod itself, past the
sidecar.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Callable

from mesh.testbed.pods import LocalPod

_HOST = re.compile(rb"\r\nhost:[ \t]*([^\r\n]+?)[ \t]*\r\n", re.IGNORECASE)
Resolve = Callable[[str, int], "int | str"]
"""Host and port -> port of this machine or Unix socket; OSError when there is none."""


class PodNetwork:
    """Listens at 127.0.0.1:``port`` on behalf of ``pod``."""

    def __init__(self, pod: LocalPod, resolve: Resolve) -> None:
        self._pod = pod
        self._resolve = resolve
        self.port = 0
        self._tasks: set[asyncio.Task[None] | None] = set()

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, backlog=1024)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        self._server.close()
        tasks = [task for task in self._tasks if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        self._tasks.add(task)  # nobody else holds it once one side has closed
        try:
            await self._join(reader, writer)
        finally:
            self._tasks.discard(task)

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            tunnel = head.startswith(b"CONNECT ")
            found = _HOST.search(head)
            where = found[1].decode() if found else ""
            host, _, port = where.partition(":")
            own = tunnel and host == "127.0.0.1"
            if own:
                place: int | str = self._pod.application
            elif self._pod.injected:
                place = self._pod.node.outbound_port
            else:
                place = self._resolve(host, int(port or 80))
            far = (
                await asyncio.open_unix_connection(place)
                if isinstance(place, str)
                else await asyncio.open_connection("127.0.0.1", place)
            )
        except (OSError, ValueError, asyncio.IncompleteReadError) as problem:
            writer.write(f"HTTP/1.1 502 {problem}\r\ncontent-length: 0\r\n\r\n".encode())
            writer.close()
            return
        if tunnel and (own or not self._pod.injected):
            writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        else:
            far[1].write(head)
        try:
            await asyncio.gather(pipe(reader, far[1]), pipe(far[0], writer))
        finally:
            far[1].close()
            writer.close()


async def pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    with contextlib.suppress(OSError, RuntimeError):
        writer.write_eof()
