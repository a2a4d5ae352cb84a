"""Real upstreams (asyncio), and a client that writes what it likes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field


@dataclass
class Upstream:
    """An HTTP/1.1 server; ``handler(method, path, head, body)`` returns raw bytes, None closes."""

    port: int = 0
    path: str = ""
    heads: list[str] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    connections: int = 0


Handler = Callable[[str, str, str, bytes], Awaitable[bytes | None]]


async def echo(method: str, path: str, head: str, body: bytes) -> bytes | None:
    text = head.encode("latin-1") + body
    return b"HTTP/1.1 200 OK\r\nX-Up: 1\r\nContent-Length: %d\r\n\r\n%b" % (len(text), text)


async def _read_chunked(reader: asyncio.StreamReader) -> bytes:
    body = b""
    while size := int((await reader.readuntil(b"\r\n")).strip(), 16):
        body += await reader.readexactly(size)
        await reader.readexactly(2)
    await reader.readexactly(2)
    return body


@asynccontextmanager
async def upstream(handler: Handler = echo, path: str = "") -> AsyncIterator[Upstream]:
    """Serve ``handler`` on a free port, or on the Unix socket ``path``."""
    state = Upstream(path=path)
    writers: set[asyncio.StreamWriter] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        state.connections += 1
        writers.add(writer)
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                lower = head.lower()
                body = b""
                if "\r\ncontent-length:" in lower:
                    length = int(lower.split("\r\ncontent-length:")[1].split("\r\n")[0])
                    body = await reader.readexactly(length)
                elif "\r\ntransfer-encoding: chunked" in lower:
                    body = await _read_chunked(reader)
                state.heads.append(head)
                state.bodies.append(body)
                method, target, _ = head.split(" ", 2)
                answer = await handler(method, target, head, body)
                if answer is None:
                    return
                writer.write(answer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writers.discard(writer)
            writer.close()

    if path:
        server = await asyncio.start_unix_server(serve, path)
    else:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        state.port = server.sockets[0].getsockname()[1]
    try:
        yield state
    finally:
        server.close()
        for writer in list(writers):
            writer.close()


@dataclass
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes
    closed: bool


class Client:
    """A raw HTTP/1.1 client connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def connect(cls, port: int) -> Client:
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    async def send(self, raw: bytes, head_only: bool = False) -> Reply:
        self.writer.write(raw)
        return await self.read(head_only)

    async def get(self, path: str = "/", host: str = "a.test", extra: str = "") -> Reply:
        return await self.send(f"GET {path} HTTP/1.1\r\nHost: {host}\r\n{extra}\r\n".encode())

    async def read(self, head_only: bool = False) -> Reply:
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head.split("\r\n")[:-2]
        headers = dict(line.split(": ", 1) for line in lines)
        body = b""
        if not head_only:
            if "content-length" in headers:
                body = await self.reader.readexactly(int(headers["content-length"]))
            elif headers.get("transfer-encoding") == "chunked":
                body = await _read_chunked(self.reader)
        closed = headers.get("connection") == "close"
        return Reply(int(first.split(" ")[1]), headers, body, closed)

    def close(self) -> None:
        self.writer.close()
