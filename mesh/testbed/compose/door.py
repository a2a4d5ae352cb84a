"""Door: the process that keeps a pod's network alive, and lets the testbed in.

Kubernetes' pause container only sleeps; this one also listens on two Unix sockets in the pod's
folder.  ``ready`` answers once the application takes connections, and connections that leave the
pod end at its sidecar.  ``client`` sends what it gets as this pod's application would: it reads the first request's
Host (or where a CONNECT leads, for TLS), looks the name up and connects, so everything is captured as
the application's own traffic is.
``app`` leads straight to the application, past the sidecar (``kubectl port-forward``).

Run as ``python -m mesh.testbed.compose.door FOLDER APP_PORT CAPTURED``.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import sys
from pathlib import Path

CLIENT, APP, READY = "client", "direct", "ready"
NOWHERE = ("192.0.2.1", 80)
"""An address that nobody has (RFC 5737): who gets a connection there was redirected."""
PAUSE = 0.02
_HOST = re.compile(rb"\r\nhost:[ \t]*([^\r\n]+?)[ \t]*\r\n", re.IGNORECASE)
_CONNECT = re.compile(rb"CONNECT ([^ \r\n]+) ")
_TUNNEL_OPEN = b"HTTP/1.1 200 OK\r\n\r\n"
_UNRESOLVED = b"DNS resolution failure"


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


async def serve(folder: Path, app_port: int, captured: bool) -> None:
    """Listen until killed."""

    async def ready(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if app_port:
            await takes_connections("127.0.0.1", app_port)
        if captured:
            await takes_connections(*NOWHERE)
        with contextlib.suppress(OSError):
            writer.write(b"1")
            await writer.drain()
        writer.close()

    async def direct(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            await join(reader, writer, "127.0.0.1", app_port)
        writer.close()

    for name, handler in ((CLIENT, as_client), (APP, direct), (READY, ready)):
        path = folder / name
        path.unlink(missing_ok=True)
        await asyncio.start_unix_server(handler, str(path))
        path.chmod(0o666)  # the folder above says who may come here
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3] == "1"))
