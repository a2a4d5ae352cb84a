"""Relays: ports of this machine whose connections leave a pod, by one ``kubectl exec`` a pod.

The load driver and a lab's own sockets know addresses only; a cluster's pods have none here.  So a
relay listens on 127.0.0.1, and ``in_pod`` connects on the other side.  Without a ``target`` the
first request's Host says where to (or where a CONNECT leads); with one, such
as ``raw 10.1.2.3:80``, every connection goes there.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import threading
import time
from collections.abc import Coroutine
from dataclasses import dataclass, field
from pathlib import Path

from mesh.testbed.client import TestbedError
from mesh.testbed.kubernetes import in_pod
from mesh.testbed.kubernetes.in_pod import FRAME, LIMIT
from mesh.testbed.kubernetes.kubectl import Kubectl, said

APP = "app"
"""The application's container in an exported pod."""
START_SECONDS = 60.0
_PROGRAM = Path(in_pod.__file__).read_bytes()
_LOADER = "import sys; b = sys.stdin.buffer; exec(b.read(int(b.readline())))"
"""A command line travels in a URL, which some ways to a cluster keep short; the program follows."""
_HOST = re.compile(rb"\r\nhost:[ \t]*([^\r\n]+?)[ \t]*\r\n", re.IGNORECASE)
_CONNECT = re.compile(rb"CONNECT ([^ \r\n]+) ")
_UNRESOLVED = b"DNS resolution failure"

Frame = tuple[bytes, bytes]
"""Kind and bytes."""


@dataclass(slots=True)
class _Exec:
    """One ``kubectl exec`` and the connections that it carries."""

    process: asyncio.subprocess.Process
    skew: float = 0.0
    """Seconds that the pod's clock is ahead of this machine's."""
    count: int = 0
    connections: dict[int, asyncio.Queue[Frame]] = field(default_factory=dict)
    ended: bool = False

    def say(self, number: int, kind: bytes, data: bytes = b"") -> None:
        if self.process.stdin is not None and not self.ended:
            self.process.stdin.write(FRAME.pack(number, kind, len(data)) + data)

    async def frame(self) -> tuple[int, bytes, bytes]:
        assert self.process.stdout is not None
        number, kind, length = FRAME.unpack(await self.process.stdout.readexactly(FRAME.size))
        return number, kind, await self.process.stdout.readexactly(length)

    async def pump(self) -> None:
        """Hand out frames until the pod, or kubectl, has gone."""
        try:
            while True:
                number, kind, data = await self.frame()
                if number in self.connections:
                    self.connections[number].put_nowait((kind, data))
        except (asyncio.IncompleteReadError, OSError):
            self.ended = True
            for queue in self.connections.values():
                queue.put_nowait((b"C", b"the pod has gone"))

    def open(self, target: str) -> int:
        self.count += 1
        self.connections[self.count] = asyncio.Queue()
        self.say(self.count, b"O", target.encode())
        return self.count


class Relays:
    """All relays of one testbed, in a thread of their own until ``close``."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="relays", daemon=True)
        self._thread.start()
        self._execs: dict[tuple[str, str], _Exec] = {}
        self._ports: dict[tuple[str, str, str], int] = {}
        self._lock = threading.Lock()
        self._tasks: set[asyncio.Task[None]] = set()
        self._servers: list[asyncio.Server] = []

    def port(self, namespace: str, pod: str, target: str = "") -> int:
        """Return a port of 127.0.0.1 that leads out of the pod; TestbedError when it has no way."""
        with self._lock:
            run = self._execs.get((namespace, pod))
            if run is None or run.ended:
                run = self._call(self._start(namespace, pod))
                self._execs[namespace, pod] = run
                self._ports = {
                    key: value for key, value in self._ports.items() if key[:2] != (namespace, pod)
                }
            key = (namespace, pod, target)
            if key not in self._ports:
                self._ports[key] = self._call(self._listen(run, target))
            return self._ports[key]

    def skew(self, namespace: str, pod: str) -> float:
        """Return how many seconds the pod's clock is ahead, as far as the call's length lets know."""
        self.port(namespace, pod)
        return self._execs[namespace, pod].skew

    def close(self) -> None:
        """End it: no process and no connection is left."""
        with contextlib.suppress(RuntimeError):
            self._call(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()

    def _call[T](self, what: Coroutine[object, object, T]) -> T:
        return asyncio.run_coroutine_threadsafe(what, self._loop).result()

    async def _start(self, namespace: str, pod: str) -> _Exec:
        command = Kubectl(namespace).command(
            "exec", "-i", pod, "-c", APP, "--", "python", "-c", _LOADER
        )
        pipe = asyncio.subprocess.PIPE
        begin = time.time()
        run = _Exec(
            await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, stderr=pipe)
        )
        try:
            assert run.process.stdin is not None
            run.process.stdin.write(b"%d\n%b" % (len(_PROGRAM), _PROGRAM))
            async with asyncio.timeout(START_SECONDS):
                _, _, clock = await run.frame()
        except (asyncio.IncompleteReadError, OSError):  # TimeoutError is one
            with contextlib.suppress(ProcessLookupError):
                run.process.kill()
            _, complaint = await run.process.communicate()
            words = said(complaint.decode("utf-8", "replace")) or "no answer"
            raise TestbedError(f"`kubectl exec` into pod {pod} did not work: {words}") from None
        # The pod's clock was read somewhere between these two.
        first, last = float(clock) - time.time(), float(clock) - begin
        run.skew = max(0.0, first) + min(0.0, last)
        self._keep(run.pump())
        return run

    async def _listen(self, run: _Exec, target: str) -> int:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with contextlib.suppress(asyncio.CancelledError):  # by the end of it all
                await _serve(run, target, reader, writer)

        server = await asyncio.start_server(serve, "127.0.0.1", 0, backlog=1024)
        self._servers.append(server)
        return int(server.sockets[0].getsockname()[1])

    def _keep(self, what: Coroutine[object, object, None]) -> None:
        task = self._loop.create_task(what)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _end(self) -> None:
        for server in self._servers:
            server.close()
        tasks = [each for each in asyncio.all_tasks() if each is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for run in self._execs.values():
            run.ended = True
            with contextlib.suppress(ProcessLookupError):
                run.process.kill()
            await run.process.communicate()


async def _serve(
    run: _Exec, target: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """Serve one connection of this machine."""
    number, head, tunnel = 0, b"", None
    try:
        where = target
        if not target:
            head = await reader.readuntil(b"\r\n\r\n")
            tunnel = _CONNECT.match(head)
            found = tunnel or _HOST.search(head)
            where = found[1].decode("latin-1") if found else ""
            where = where if ":" in where else f"{where}:80"
            where = f"{'raw' if tunnel else 'http'} {where}"
        number = run.open(where)
        kind, data = await run.connections[number].get()
        if kind != b"A":
            writer.write(b"" if target else _no_way(data))
            return
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n" if tunnel else b"")
        if head and not tunnel:
            run.say(number, b"D", head)
        sending = asyncio.ensure_future(_send(run, number, reader))
        try:
            await _receive(run, number, writer)
        finally:
            sending.cancel()
    except (OSError, ValueError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        pass
    finally:
        run.connections.pop(number, None)
        run.say(number, b"C")
        writer.close()


async def _send(run: _Exec, number: int, reader: asyncio.StreamReader) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(LIMIT):
            run.say(number, b"D", data)
    run.say(number, b"E")


async def _receive(run: _Exec, number: int, writer: asyncio.StreamWriter) -> None:
    while True:
        kind, data = await run.connections[number].get()
        if kind == b"D":
            writer.write(data)
            await writer.drain()
        elif kind == b"E":
            writer.write_eof()
        else:
            return


def _no_way(reason: bytes) -> bytes:
    body = _UNRESOLVED if b"ame" in reason else reason
    return (
        b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: text/plain\r\n"
        b"connection: close\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)
    )
