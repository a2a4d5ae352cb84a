"""https_front: the TLS in front of an application that speaks plain HTTP.

What a load balancer does for a web site: it ends TLS with the certificate of the host that the
client asks for (SNI) and passes the bytes on.  Only the world outside of the mesh needs one; inside,
the sidecars do it.  A client that asks for no name, or for one that nobody has, gets the first certificate,
and finds out by itself that the name is wrong.  What is inside has to be HTTP: a client that encrypts
what a sidecar encrypts once more gets 400.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from threading import Thread

_CHUNK = 65536
_NO_HTTP = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def serve(doors: Mapping[socket.socket, tuple[str, int]], certificates: Mapping[str, Path]) -> None:
    """Serve in a thread: a connection to a bound socket goes to its (address, port).

    ``certificates``: host -> file with key and certificate (PEM).
    """
    context = _context(certificates)
    for door in doors:
        door.listen(128)  # who connects before the loop runs waits in the queue

    async def run() -> None:
        servers = [
            await asyncio.start_server(_relay(place), sock=door, ssl=context)
            for door, place in doors.items()
        ]
        await asyncio.gather(*(each.serve_forever() for each in servers))

    Thread(target=asyncio.run, args=(run(),), name="https", daemon=True).start()


def _context(certificates: Mapping[str, Path]) -> ssl.SSLContext:
    made = {host: _one(path) for host, path in certificates.items()}
    first = next(iter(made.values()))

    def choose(connection: ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> None:
        connection.context = made.get((name or "").lower(), first)

    first.sni_callback = choose
    return first


def _one(path: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_alpn_protocols(["http/1.1"])
    context.load_cert_chain(path)
    return context


def _relay(place: tuple[str, int]) -> Handler:
    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there, back = await asyncio.open_connection(*place)
        except OSError:
            writer.close()
            return
        first = await reader.read(_CHUNK)
        if first and not first[:1].isalpha():
            writer.write(_NO_HTTP)
            writer.close()
            back.close()
            return
        back.write(first)
        await asyncio.gather(_pass(reader, back), _pass(there, writer))

    return connected


async def _pass(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    """Pass bytes on until one side ends; then the other side ends too."""
    try:
        while data := await source.read(_CHUNK):
            target.write(data)
            await target.drain()
    except OSError:
        pass
    finally:
        target.close()
