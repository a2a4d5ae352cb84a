"""Code caller: standard input and output of this process lead to a ``code_door``.

Application and sidecar start handed-in code as a command and speak with it over its standard
input and output, wherever it runs; in containers this is the command.

Run as ``python code_caller.py SOCKET``.
"""

from __future__ import annotations

import os
import select
import socket
import sys
from pathlib import Path
from threading import Thread

from mesh.testbed.compose.appears import Folder

_CHUNK = 1 << 16


def connect(place: str) -> socket.socket:
    """Connect, as soon as somebody is there."""
    with Folder(Path(place).parent) as folder:
        while True:
            folder.forget()
            sock = socket.socket(socket.AF_UNIX)
            try:
                sock.connect(place)
            except (FileNotFoundError, ConnectionRefusedError):
                sock.close()
                select.select([folder], [], [])
            else:
                return sock


def main(place: str) -> None:
    """Pass on until either side ends."""
    sock = connect(place)

    def ask() -> None:
        while data := os.read(0, _CHUNK):
            sock.sendall(data)
        sock.shutdown(socket.SHUT_WR)

    Thread(target=ask, daemon=True).start()
    while data := sock.recv(_CHUNK):
        while data:
            data = data[os.write(1, data) :]


if __name__ == "__main__":
    main(sys.argv[1])
