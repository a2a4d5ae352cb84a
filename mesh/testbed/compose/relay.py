"""Relay: a port of this machine that leads to a Unix socket, for tools that know ports only.

The load driver sends "as a pod's application" to such a port; it ends with the testbed.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from threading import Thread

from mesh.testbed.compose.door import pipe


class Relay:
    """Listens on 127.0.0.1:``port`` in a thread of its own until ``close``."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._socket = socket.socket()
        self._socket.bind(("127.0.0.1", 0))
        self.port = int(self._socket.getsockname()[1])
        self._loop = asyncio.new_event_loop()
        # The loop itself holds tasks weakly: one whose caller is gone would be collected half done.
        self._tasks: set[asyncio.Task[None]] = set()
        server = self._loop.run_until_complete(
            asyncio.start_server(self._accepted, sock=self._socket, backlog=1024)
        )
        self._server = server
        self._thread = Thread(target=self._loop.run_forever, name="relay", daemon=True)
        self._thread.start()

    def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = self._loop.create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.open_unix_connection(self._path)
        except OSError:
            writer.close()
            return
        try:
            await asyncio.gather(pipe(reader, far_writer), pipe(far_reader, writer))
        finally:
            far_writer.close()
            writer.close()

    def close(self) -> None:
        """End it, with every connection."""

        async def end() -> None:
            self._server.close()
            tasks = list(self._tasks)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

        with contextlib.suppress(RuntimeError):
            asyncio.run_coroutine_threadsafe(end(), self._loop).result(5)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()
