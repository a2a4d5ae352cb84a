"""HTTP over a Unix socket: how commands ask the control plane, Mixer, and what runs in a pod."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


class UnixConnection(http.client.HTTPConnection):
    """HTTP over the Unix socket ``path``; ``timeout`` in seconds, None for ever."""

    def __init__(self, path: str, timeout: float | None = None) -> None:
        super().__init__("localhost", timeout=timeout)
        self.path = path

    def connect(self) -> None:
        """Connect; OSError when nobody listens."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


@contextmanager
def hold(
    socket_path: str | Path, path: str, body: dict[str, Any], timeout: float
) -> Iterator[tuple[int, bytes]]:
    """POST and keep the connection open while the block runs: status and first line of the answer.

    Raises OSError or http.client.HTTPException when there is no answer.
    """
    connection = UnixConnection(str(socket_path), timeout)
    try:
        headers = {"content-type": "application/json"}
        connection.request("POST", path, json.dumps(body), headers)
        response = connection.getresponse()
        yield response.status, response.readline()
    finally:
        connection.close()


def ask(
    socket_path: str | Path,
    method: str,
    path: str,
    body: dict[str, Any] | None,
    timeout: float,
) -> tuple[int, bytes]:
    """Send one request, ``body`` as JSON; return the status and the answer's body.

    Raises OSError or http.client.HTTPException when there is no answer.
    """
    connection = UnixConnection(str(socket_path), timeout)
    try:
        payload = json.dumps(body) if body is not None else None
        connection.request(method, path, payload, {"content-type": "application/json"})
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()
