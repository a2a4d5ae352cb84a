"""What runs in a pod while the kit sends requests from there: ``python -c`` of this file.

One ``kubectl exec -i`` carries many connections over its standard input and output, as frames:
number of the connection, kind, length, bytes.  To the pod: Open (``http HOST:PORT`` or ``raw
HOST:PORT``), Data, End of what the caller sends, Close.  Back: Hello (with the pod's clock),
Accepted, Data, End, Close (with the reason).  A connection goes out of the application's container,
so Istio's rules capture it as the application's own.  Where the pod's environment names an
``http_proxy``, it goes there, as everybody's does: what is not HTTP by CONNECT.

It runs on the standard library alone, whatever release of the kit the image has.
"""

from __future__ import annotations

import asyncio
import os
import struct
import sys
import time
from urllib.parse import urlsplit

FRAME = struct.Struct(">IcI")
LIMIT = 65536


class Streams:
    """The connections by their numbers."""

    def __init__(self, proxy: str) -> None:
        self._proxy = urlsplit(proxy) if proxy else None
        self._waiting: dict[int, asyncio.Queue[bytes | None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def say(self, number: int, kind: bytes, data: bytes = b"") -> None:
        """Write one frame."""
        sys.stdout.buffer.write(FRAME.pack(number, kind, len(data)) + data)
        sys.stdout.buffer.flush()

    def hear(self, number: int, kind: bytes, data: bytes) -> None:
        """Act on one frame of the other side."""
        if kind == b"O":
            self._waiting[number] = asyncio.Queue()
            task = asyncio.ensure_future(self._serve(number, data.decode()))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        elif number in self._waiting:
            if kind == b"D":
                self._waiting[number].put_nowait(data)
            elif kind == b"E":
                self._waiting[number].put_nowait(None)
            else:
                self._waiting.pop(number).put_nowait(b"")

    async def _serve(self, number: int, target: str) -> None:
        reason = b""
        try:
            reader, writer = await self._connect(*target.split(" "))
        except (OSError, ValueError, asyncio.IncompleteReadError) as error:
            self._waiting.pop(number, None)
            self.say(number, b"C", str(error).encode())
            return
        self.say(number, b"A")
        sending = asyncio.ensure_future(self._send(number, writer))
        try:
            while data := await reader.read(LIMIT):
                self.say(number, b"D", data)
            self.say(number, b"E")
            await sending
        except OSError as error:
            reason = str(error).encode()
        finally:
            sending.cancel()
            self._waiting.pop(number, None)
            writer.close()
            self.say(number, b"C", reason)

    async def _connect(
        self, mode: str, where: str
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        host, _, port = where.rpartition(":")
        if self._proxy is None:
            return await asyncio.open_connection(host, int(port))
        reader, writer = await asyncio.open_connection(self._proxy.hostname, self._proxy.port)
        if mode == "raw":
            writer.write(f"CONNECT {where} HTTP/1.1\r\nhost: {where}\r\n\r\n".encode())
            head = await reader.readuntil(b"\r\n\r\n")
            if head.split(b" ")[1][:1] != b"2":
                writer.close()
                raise OSError(head.split(b"\r\n")[0].decode("latin-1"))
        return reader, writer

    async def _send(self, number: int, writer: asyncio.StreamWriter) -> None:
        waiting = self._waiting[number]
        while data := await waiting.get():
            writer.write(data)
            await writer.drain()
        if data is None:
            if writer.can_write_eof():
                writer.write_eof()
        else:
            writer.transport.abort()


async def main() -> None:
    """Serve until standard input ends."""
    loop = asyncio.get_running_loop()
    source = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(source), sys.stdin.buffer)
    streams = Streams(os.environ.get("http_proxy", ""))
    streams.say(0, b"H", repr(time.time()).encode())
    try:
        while True:
            head = await source.readexactly(FRAME.size)
            number, kind, length = FRAME.unpack(head)
            streams.hear(number, kind, await source.readexactly(length))
    except asyncio.IncompleteReadError:
        os._exit(0)


if __name__ == "__main__":
    asyncio.run(main())
