"""Door: the process that keeps a pod's network alive, and lets the testbed in.

Kubernetes' pause container only sleeps; this one also listens on Unix sockets in the pod's folder.
``ready`` answers once the application takes connections, and connections that leave the pod end at
its sidecar.  ``client`` sends what it gets as this pod's application would: it reads the first
request's Host (or where a CONNECT leads, for TLS), looks the name up and connects, so everything is
captured as the application's own traffic is; where nothing is captured, it goes to the application's
``http_proxy``.  ``direct`` leads straight to the application, past the sidecar (``kubectl
port-forward``); ``connected`` says how many are connected to it from outside of the pod.

Run as ``python -m mesh.testbed.compose.door FOLDER APP_PORT CAPTURED PROXY_PORT`` (0: there is none).
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

CLIENT, APP, READY, CONNECTED = "client", "direct", "ready", "connected"
NOWHERE = ("192.0.2.1", 80)
"""An address that nobody has (RFC 5737): who gets a connection there was redirected."""
PAUSE = 0.02
"""Seconds between two tries to connect: that another process listens on a port, nobody tells."""
TABLES = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
_ESTABLISHED, _LOOPBACK = "01", "0100007F"
_HOST = re.compile(rb"\r\nhost:[ \t]*([^\r\n]+?)[ \t]*\r\n", re.IGNORECASE)
_CONNECT = re.compile(rb"CONNECT ([^ \r\n]+) ")
_TUNNEL_OPEN = b"HTTP/1.1 200 OK\r\n\r\n"
_UNRESOLVED = b"DNS resolution failure"

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[Any, Any, None]]


async def pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Pass bytes on until their end; a connection that was reset has ended, too."""
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    with contextlib.suppress(OSError, RuntimeError):
        writer.write_eof()


async def join(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    host: str,
    port: int,
    first: bytes = b"",
    hello: bytes = b"",
) -> None:
    """Connect to ``host`` and pass everything on, both ways, until both sides have ended.

    ``first`` has been read already, ``hello`` tells the other side that there is a connection.
    """
    far_reader, far_writer = await asyncio.open_connection(host, port)
    try:
        writer.write(hello)
        far_writer.write(first)
        await asyncio.gather(pipe(reader, far_writer), pipe(far_reader, writer))
    finally:
        far_writer.close()


async def as_client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Serve one connection of the testbed as the application's own."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
        tunnel = _CONNECT.match(head)
        found = tunnel or _HOST.search(head)
        host, _, port = (found[1].decode("latin-1") if found else "").rpartition(":")
        if not host:
            host, port = port, "80"
        try:
            if tunnel:
                await join(reader, writer, host, int(port), hello=_TUNNEL_OPEN)
            else:
                await join(reader, writer, host, int(port), head)
        except OSError as error:
            body = (
                _UNRESOLVED if "Name" in str(error) or "name" in str(error) else str(error).encode()
            )
            writer.write(
                b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: text/plain\r\n"
                b"connection: close\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)
            )
    except (OSError, ValueError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        pass
    finally:
        writer.close()


def connected(port: int) -> int:
    """Return how many connections to ``port`` are open that come from outside of the pod."""
    count = 0
    for table in TABLES:
        for line in table.read_text().splitlines()[1:] if table.exists() else []:
            place, state = line.split()[1:4:2]
            address, _, number = place.rpartition(":")
            inside = address.endswith(_LOOPBACK)
            count += int(number, 16) == port and state == _ESTABLISHED and not inside
    return count


async def takes_connections(host: str, port: int) -> None:
    """Return when somebody accepts a connection to ``host:port``."""
    while True:
        try:
            async with asyncio.timeout(1):
                _, writer = await asyncio.open_connection(host, port)
        except OSError:  # TimeoutError is one
            await asyncio.sleep(PAUSE)
            continue
        writer.close()
        return


async def serve(folder: Path, app_port: int, captured: bool, proxy_port: int = 0) -> None:
    """Listen until killed."""

    async def ready(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if app_port:
            await takes_connections("127.0.0.1", app_port)
        if captured:
            await takes_connections(*NOWHERE)
        if proxy_port:
            await takes_connections("127.0.0.1", proxy_port)
        with contextlib.suppress(OSError):
            writer.write(b"1")
            await writer.drain()
        writer.close()

    async def direct(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            await join(reader, writer, "127.0.0.1", app_port)
        writer.close()

    async def by_proxy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            await join(reader, writer, "127.0.0.1", proxy_port)
        writer.close()

    async def count(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            writer.write(b"%d" % connected(app_port))
            await writer.drain()
        writer.close()

    tasks: set[asyncio.Task[None]] = set()
    """The loop itself holds tasks weakly: one whose caller is gone would be collected half done."""

    def kept(handler: Handler) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], None]:
        def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.create_task(handler(reader, writer))
            tasks.add(task)
            task.add_done_callback(tasks.discard)

        return accepted

    client = by_proxy if proxy_port else as_client
    handlers = {CLIENT: client, APP: direct, CONNECTED: count, READY: ready}
    for name, handler in handlers.items():
        new = folder / f"{name}.new"
        new.unlink(missing_ok=True)
        await asyncio.start_unix_server(kept(handler), str(new))
        new.chmod(0o666)  # the folder above says who may come here
        new.rename(folder / name)  # who waits for the name may connect at once
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3] == "1", int(sys.argv[4])))
