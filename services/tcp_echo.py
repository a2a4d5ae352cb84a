"""A service that speaks no HTTP: it sends each line back with its version before it.

What a mesh does with raw TCP shows on it: ``hello`` is answered ``v1 hello`` or ``v2 hello``, so the
share of each version can be counted; a client that closes its direction first (``nc -N``) still
gets its answers.  Options (all optional):

``prefix``       before each line (the version)
``greeting``     sent before anything is received, as mail and database servers do
``close_after``  lines after which the connection is closed
``reset_after``  lines after which the connection is broken off (reset)

The journal has one line a connection: ``path`` is empty, ``status`` 0, ``lines`` and ``bytes``
received.
"""

from __future__ import annotations

import contextlib
import itertools
import socket
from threading import Thread

from services import lifeline
from services.httpwire import reset
from services.journal import Journal
from services.options import AppOptions


class EchoServer:
    """One thread a connection."""

    def __init__(self, options: AppOptions) -> None:
        given = options.options
        self._prefix = str(given.get("prefix", options.version))
        self._greeting = str(given.get("greeting", ""))
        self._close_after = _count(given.get("close_after", 0), "close_after")
        self._reset_after = _count(given.get("reset_after", 0), "reset_after")
        self._journal = Journal(options.journal, options.pod)
        self._counter = itertools.count(1)

    def accept(self, sock: socket.socket) -> None:
        """Serve every connection of a listening socket; never returns."""
        while True:
            connection, _ = sock.accept()
            Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        lines = size = 0
        with connection, contextlib.suppress(OSError):
            if self._greeting:
                connection.sendall(f"{self._greeting}\n".encode())
            with connection.makefile("rb") as received:
                for line in received:
                    lines, size = lines + 1, size + len(line)
                    if lines == self._reset_after:
                        reset(connection)
                        break
                    connection.sendall(self._prefix.encode() + b" " + line)
                    if lines == self._close_after:
                        break
        self._journal.write(
            method="TCP",
            path="",
            request_id="",
            status=0,
            counter=next(self._counter),
            lines=lines,
            bytes=size,
        )


def _count(value: object, name: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError(f"option {name}: a number of lines is needed, not {value!r}")
    return value


def serve(sockets: list[socket.socket], options: AppOptions) -> None:
    """Serve until killed; ValueError for options that are none."""
    server = EchoServer(options)
    for sock in sockets:
        sock.listen(128)
    lifeline.ready(options.ready_fd)
    for sock in sockets[1:]:
        Thread(target=server.accept, args=(sock,), daemon=True).start()
    server.accept(sockets[0])
