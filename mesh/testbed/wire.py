"""Messages over a Unix socket: length-prefixed JSON, with file descriptors riding along."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

Message = dict[str, Any]

_LENGTH = struct.Struct("!I")
_MAX_FDS = 16


def send(sock: socket.socket, message: Message, fds: Sequence[int] = ()) -> None:
    """Send one message; the receiver gets copies of ``fds``.  OSError when the peer is gone."""
    body = json.dumps({**message, "fds": len(fds)}).encode()
    data = _LENGTH.pack(len(body)) + body
    sent = socket.send_fds(sock, [data], list(fds)) if fds else 0
    sock.sendall(data[sent:])


@dataclass(slots=True)
class Receiver:
    """Takes messages off a socket; a message comes whole, with its file descriptors."""

    sock: socket.socket
    _data: bytes = b""
    _fds: list[int] = field(default_factory=list)

    def receive(self) -> list[tuple[Message, list[int]]] | None:
        """Read once (this may block) and return what is complete; None when the peer is gone."""
        try:
            data, fds, _, _ = socket.recv_fds(self.sock, 65536, _MAX_FDS)
        except ConnectionError:
            return None
        for fd in fds:
            os.set_inheritable(fd, False)
        self._fds += fds
        if not data:
            self.close()
            return None
        self._data += data
        found = []
        while (message := self._next()) is not None:
            found.append(message)
        return found

    def _next(self) -> tuple[Message, list[int]] | None:
        if len(self._data) < _LENGTH.size:
            return None
        (size,) = _LENGTH.unpack_from(self._data)
        end = _LENGTH.size + size
        if len(self._data) < end:
            return None
        message: Message = json.loads(self._data[_LENGTH.size : end])
        self._data = self._data[end:]
        count = int(message.pop("fds"))
        fds, self._fds = self._fds[:count], self._fds[count:]
        return message, fds

    def close(self) -> None:
        """Close file descriptors that came with a message that never did."""
        while self._fds:
            with contextlib.suppress(OSError):
                os.close(self._fds.pop())
