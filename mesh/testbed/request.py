"""One request into the mesh, on a connection of its own: policies judge each anew."""

from __future__ import annotations

import http.client
import socket
from collections.abc import Mapping
from urllib.parse import urlsplit

from mesh.testbed.base import Answer
from mesh.testbed.client import NoAnswerError

TIMEOUT = 60.0


class _UnixConnection(http.client.HTTPConnection):
    """HTTP over the Unix socket ``path``."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=TIMEOUT)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(TIMEOUT)
        self.sock.connect(self._path)


def send(
    place: int | str, target: str, *, method: str, headers: Mapping[str, str] | None, body: bytes
) -> Answer:
    """Send to a port of 127.0.0.1 or a Unix socket; ``target`` is a path, or a URL at a proxy.

    NoAnswerError when no HTTP answer came, or half of one.
    """
    given = {name.lower(): value for name, value in (headers or {}).items()}
    if "://" in target:
        given.setdefault("host", urlsplit(target).netloc)
    elif not target.startswith("/"):
        target = "/" + target
    given.setdefault("user-agent", "meshctl")
    connection = (
        _UnixConnection(place)
        if isinstance(place, str)
        else http.client.HTTPConnection("127.0.0.1", place, timeout=TIMEOUT)
    )
    try:
        connection.putrequest(method, target, skip_host="host" in given, skip_accept_encoding=True)
        if body:
            given.setdefault("content-length", str(len(body)))
        for name, value in given.items():
            connection.putheader(name, value)
        connection.endheaders(body or None)
        response = connection.getresponse()
        data = response.read()
    except (OSError, http.client.HTTPException, ValueError) as problem:
        what = f"{type(problem).__name__}: {problem}"
        raise NoAnswerError(f"no answer to {method} {target} ({what})") from None
    finally:
        connection.close()
    found = tuple((name.lower(), value) for name, value in response.getheaders())
    return Answer(response.status, found, data)
