"""A real sidecar process, forked from one that has imported everything, and its control plane."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from typing import Any

from grpclib.server import Server

from mesh.testbed.ports import Ports
from tests.mesh.sidecar.ads_server import CDS, LDS, AdsServer
from tests.mesh.sidecar.http_peers import Client, Reply
from tests.mesh.sidecar.resources import listener, routes

PORTS = Ports()


def free_port() -> int:
    """Return a port that is held until the test ends, for a proxy that sets SO_REUSEPORT."""
    return PORTS.take(1)[0]


async def _reader(fd: int) -> asyncio.StreamReader:
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(fd, "rb", 0)
    )
    return reader


@cache
def nursery() -> socket.socket:
    """Start the process that forks sidecars, and wait until it can; it ends with this one."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    script = Path(__file__).with_name("nursery.py")
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    process = subprocess.Popen(
        [sys.executable, str(script), str(theirs.fileno())],
        pass_fds=[theirs.fileno()],
        env=environment,
    )
    theirs.close()

    def end() -> None:
        ours.close()
        process.wait()

    atexit.register(end)
    ours.recv(16)
    return ours


class Mesh:
    """One control plane and one sidecar process, forked from the nursery."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ads = AdsServer()
        self.socket = str(folder / "ads.sock")
        self.log = str(folder / "access.jsonl")
        self.port = free_port()
        self.admin_port = free_port()
        self.server = Server([self.ads])
        self.pid = 0
        self.lifeline = -1
        self._errors = -1
        self._answer: asyncio.StreamReader | None = None

    async def start(self, wait: bool = True) -> None:
        """Start both; with ``wait``, until the sidecar is ready."""
        await self.server.start(path=self.socket)
        ready_read, ready_write = os.pipe()
        life_read, self.lifeline = os.pipe()
        answer_read, answer_write = os.pipe()
        self._errors = os.memfd_create("stderr")
        options = {
            "node_id": "pod",
            "ads_socket": self.socket,
            "admin_port": self.admin_port,
            "seed": 1,
        }
        given = [ready_write, life_read, self._errors, answer_write]
        socket.send_fds(nursery(), [json.dumps(options).encode()], given)
        for fd in given:
            if fd != self._errors:
                os.close(fd)
        self._answer = await _reader(answer_read)
        self.pid = int(await self._answer.readline())
        ready = await _reader(ready_read)
        if wait and await ready.read(1) != b"1":
            raise AssertionError(f"the sidecar ended before it was ready: {await self.ended()}")

    def terminate(self) -> None:
        """Send SIGTERM."""
        os.kill(self.pid, signal.SIGTERM)

    async def ended(self) -> str:
        """Wait until the sidecar has ended; return what it wrote to stderr."""
        assert self._answer is not None
        await self._answer.read()
        os.lseek(self._errors, 0, os.SEEK_SET)
        return os.read(self._errors, 1 << 20).decode()

    async def stop(self) -> str:
        """End both; return what the sidecar wrote to stderr."""
        if self.lifeline >= 0:
            with contextlib.suppress(ProcessLookupError):
                self.terminate()
        errors = await self.ended()
        os.close(self._errors)
        if self.lifeline >= 0:
            os.close(self.lifeline)
        self.server.close()
        await self.server.wait_closed()
        return errors

    async def client(self) -> Client:
        return await Client.connect(self.port)

    async def get(self, path: str = "/", host: str = "a.test", extra: str = "") -> Reply:
        client = await self.client()
        try:
            return await client.get(path, host, extra)
        finally:
            client.close()

    async def admin(self, method: str, path: str) -> Reply:
        client = await Client.connect(self.admin_port)
        try:
            return await client.send(f"{method} {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        finally:
            client.close()

    async def stats(self) -> dict[str, int]:
        reply = await self.admin("GET", "/stats?format=json")
        return {item["name"]: item["value"] for item in json.loads(reply.body)["stats"]}

    async def records(self) -> list[dict[str, Any]]:
        assert (await self.admin("POST", "/reopen_logs")).status == 200
        text = Path(self.log).read_text()
        return [json.loads(line) for line in text.splitlines()]


@asynccontextmanager
async def running(
    folder: Path,
    entries: list[dict[str, Any]],
    clusters: list[dict[str, Any]],
    host: dict[str, Any] | None = None,
    **hcm: Any,
) -> AsyncIterator[Mesh]:
    """A ready mesh whose outbound listener has the routes ``entries``; its end must be clean."""
    mesh = Mesh(folder)
    mesh.ads.set(CDS, *clusters)
    table = routes(*entries, **(host or {}))
    mesh.ads.set(LDS, listener("out", mesh.port, table, mesh.log, **hcm))
    await mesh.start()
    try:
        yield mesh
    finally:
        errors = await mesh.stop()
    assert "Traceback" not in errors, errors
