"""HTTP/1.1 read from a bare socket, for a backend that must be able to break the rules.

A web server hides its sockets; a scripted one needs them, to close before an answer or to reset.
On a Unix socket the kernel sends a reset only when data was left unread, so ``read_request``
leaves the last byte of the request's head where it is until ``finish`` takes it.
"""

from __future__ import annotations

import socket
import struct
from dataclasses import dataclass


class WireError(ValueError):
    """What came in is not HTTP/1.1."""


@dataclass(slots=True)
class Received:
    """A request: ``target`` is path and query, header names are lower-case."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes = b""

    @property
    def wants_close(self) -> bool:
        """True when the client announced that it closes the connection after this request."""
        return "close" in self.headers.get("connection", "").lower()

    def finish(self, connection: socket.socket) -> None:
        """Take the rest of the request off the socket: the last byte of its head, its body."""
        with connection.makefile("rb", buffering=0) as stream:
            _exactly(stream, 1)
            if "chunked" in self.headers.get("transfer-encoding", "").lower():
                self.body = _chunks(stream)
            else:
                self.body = _exactly(stream, int(self.headers.get("content-length", "0")))


def read_request(connection: socket.socket) -> Received | None:
    """Read the head of the next request, except its last byte; None when the peer closed."""
    head = b""
    while True:
        ahead = connection.recv(65536, socket.MSG_PEEK)
        if not ahead:
            return None
        if not (head + ahead)[:1].isalpha():
            raise WireError("not HTTP: whoever speaks TLS here need not wait for an answer")
        end = (head + ahead).find(b"\r\n\r\n")
        if end >= 0:
            head += connection.recv(end + 3 - len(head)) if end + 3 > len(head) else b""
            break
        head += connection.recv(len(ahead))
        if len(head) > 1_000_000:
            raise WireError("a request head of more than 1 MB")
    lines = head[:end].decode("latin-1").split("\r\n")
    parts = lines[0].split(" ")
    if len(parts) != 3:
        raise WireError(f"not a request line: {lines[0]!r}")
    headers: dict[str, str] = {}
    for line in lines[1:]:
        name, _, value = line.partition(":")
        name, value = name.strip().lower(), value.strip()
        headers[name] = f"{headers[name]},{value}" if name in headers else value
    return Received(method=parts[0], target=parts[1], headers=headers)


def reset(connection: socket.socket) -> None:
    """Close with a reset: TCP by lingering for 0 s, a Unix socket by what was left unread."""
    if connection.family != socket.AF_UNIX:
        linger = struct.pack("ii", 1, 0)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    connection.close()


def _exactly(stream: socket.SocketIO, size: int) -> bytes:
    data = b""
    while len(data) < size:
        more = stream.read(size - len(data))
        if not more:
            raise WireError("the connection ended inside a request")
        data += more
    return data


def _line(stream: socket.SocketIO) -> bytes:
    data = b""
    while not data.endswith(b"\r\n"):
        data += _exactly(stream, 1)
    return data[:-2]


def _chunks(stream: socket.SocketIO) -> bytes:
    data = b""
    while size := int(_line(stream).split(b";")[0], 16):
        data += _exactly(stream, size)
        _line(stream)
    while _line(stream):
        pass  # trailers
    return data
