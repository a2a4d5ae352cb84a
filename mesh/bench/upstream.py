"""The application behind the measured proxy: the smallest HTTP/1.1 server that keeps connections.

Its CPU is not counted.  ``GET /bytes/N`` answers N bytes, everything else 40 bytes; a request
body is read and dropped.  Run as ``python -m mesh.bench.upstream PORT``; it prints ``ready``.
"""

from __future__ import annotations

import asyncio
import sys

SMALL = b"recommendation v1 from 'bench-0001': 1\n\n"


class Answer(asyncio.Protocol):
    """One connection: answers every complete request in order."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.buffer = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way back."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer what is complete; the rest waits for more bytes."""
        self.buffer += data
        while (head_end := self.buffer.find(b"\r\n\r\n")) >= 0:
            head = bytes(self.buffer[:head_end])
            length = _content_length(head)
            if len(self.buffer) < head_end + 4 + length:
                return
            del self.buffer[: head_end + 4 + length]
            body = _body(head.split(b" ", 2)[1])
            assert self.transport is not None
            self.transport.write(
                b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: %d\r\n\r\n"
                % len(body)
                + body
            )


def _content_length(head: bytes) -> int:
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"content-length":
            return int(value)
    return 0


def _body(path: bytes) -> bytes:
    prefix, _, size = path.rpartition(b"/bytes/")
    return b"x" * int(size) if not prefix and size.isdigit() else SMALL


async def _serve(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Answer, "127.0.0.1", port)
    print("ready", server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1]) if len(sys.argv) > 1 else 0))
