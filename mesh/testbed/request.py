"""One request into the mesh, on a connection of its own: policies judge each anew."""

from __future__ import annotations

import http.client
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from mesh.testbed.base import Answer
from mesh.testbed.client import NoAnswerError, TestbedError
from mesh.unixhttp import UnixConnection

TIMEOUT = 60.0
ID = "x-request-id"


@dataclass(frozen=True, slots=True)
class ClientTls:
    """How a request over https is sent; paths of PEM files, ``""`` for none.

    ``cacert``: who is believed (none: the system's roots); ``cert`` and ``key`` are shown to the
    server; ``verify`` False believes anybody.
    """

    cacert: str = ""
    cert: str = ""
    key: str = ""
    verify: bool = True

    def context(self) -> ssl.SSLContext:
        """Make the context.  TestbedError for a file that is none."""
        context = ssl.create_default_context()
        try:
            if self.cacert:
                context = ssl.create_default_context(cafile=self.cacert)
            if self.cert:
                context.load_cert_chain(self.cert, self.key or None)
        except (OSError, ssl.SSLError) as problem:
            files = ", ".join(filter(None, (self.cacert, self.cert, self.key)))
            raise TestbedError(f"cannot use {files}: {problem.strerror or problem}") from None
        if not self.verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context


class _TlsConnection(http.client.HTTPConnection):
    """HTTPS to a port of 127.0.0.1 that plays ``host``."""

    def __init__(self, port: int, host: str, tls: ClientTls) -> None:
        super().__init__("127.0.0.1", port, timeout=TIMEOUT)
        self._name = host
        self._context = tls.context()

    def connect(self) -> None:
        super().connect()
        self.sock = self._context.wrap_socket(self.sock, server_hostname=self._name)


def send(
    place: int | str | tuple[str, int],
    target: str,
    *,
    method: str,
    headers: Mapping[str, str] | None,
    body: bytes,
    tls: ClientTls | None = None,
    tunnel: bool = False,
) -> Answer:
    """Send to a port of 127.0.0.1, a Unix socket or (host, port); ``target`` is a path, or a URL at a proxy.

    With ``tls``, ``target`` is an https URL whose host the port plays, or with ``tunnel`` one to which the
    port leads by CONNECT, as through a proxy.

    NoAnswerError when no HTTP answer came, or half of one.
    """
    given = {name.lower(): value for name, value in (headers or {}).items()}
    if "://" in target:
        given.setdefault("host", urlsplit(target).netloc)
    elif not target.startswith("/"):
        target = "/" + target
    given.setdefault("user-agent", "meshctl")
    connection: http.client.HTTPConnection
    if isinstance(place, str):
        connection = UnixConnection(place, TIMEOUT)
    elif isinstance(place, tuple):
        connection = http.client.HTTPConnection(*place, timeout=TIMEOUT)
    elif tls is not None:
        url = urlsplit(target)
        connection = _TlsConnection(place, url.hostname or "", tls)
        if tunnel:
            own = {ID: given[ID]} if ID in given else {}
            connection.set_tunnel(url.hostname or "", url.port or 443, own)
        target = (url.path or "/") + (f"?{url.query}" if url.query else "")
    else:
        connection = http.client.HTTPConnection("127.0.0.1", place, timeout=TIMEOUT)
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
