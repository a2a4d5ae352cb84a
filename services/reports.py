"""reports: resilience written by hand, on the second of two stacks (the standard library alone).

The same job as ``services.shop`` with ``http.server`` and ``http.client``, by another team: a second
try only after 503 and 504, none after a broken connection, 2 s each.  Nobody decided that the two
services behave differently when recommendation is sick; it came about.  ``?by-hand=1`` uses this
code, without it the sidecar is trusted.

``GET /anything`` answers ``reports => <what recommendation said>``; ``/health/ready`` is always OK.
Options: ``url``, the service that it asks (``http://recommendation:8080/``), and ``seconds``, how
long one try by hand may take (2).
"""

from __future__ import annotations

import http.client
import itertools
import socket
from http.server import BaseHTTPRequestHandler
from socketserver import ThreadingMixIn, UnixStreamServer
from urllib.parse import parse_qs, urlsplit

from services import lifeline
from services.journal import Journal
from services.options import AppOptions
from services.propagation import LINKERD, TRACING, USER
from services.script import OWN_SCRIPT

TRIES = 2
SECONDS = 2.0
AGAIN = (503, 504)
COPIED = (*TRACING, *LINKERD, *USER, OWN_SCRIPT)


class Asker:
    """Asks the next service, through the sidecar as an HTTP proxy (``""``: directly)."""

    def __init__(self, url: str, proxy: str, seconds: float) -> None:
        self._url = url
        self._seconds = seconds
        self._at = urlsplit(proxy or url).netloc
        self._target = url if proxy else urlsplit(url).path or "/"

    def once(self, headers: dict[str, str], seconds: float | None) -> tuple[int, str]:
        """One request; status 0 for a connection that broke or took too long."""
        connection = http.client.HTTPConnection(self._at, timeout=seconds)
        try:
            host = urlsplit(self._url).netloc
            connection.request("GET", self._target, headers={**headers, "host": host})
            answer = connection.getresponse()
            return answer.status, answer.read().decode("utf-8", "replace").strip()
        except (OSError, http.client.HTTPException) as problem:
            return 0, type(problem).__name__
        finally:
            connection.close()

    def by_hand(self, headers: dict[str, str]) -> tuple[int, str]:
        """The retry loop of this team."""
        status, text = 0, ""
        for _ in range(TRIES):
            status, text = self.once(headers, self._seconds)
            if status not in AGAIN:
                break
        return status, text


class Server(ThreadingMixIn, UnixStreamServer):
    """``http.server`` on a Unix socket that is bound already, one thread a connection."""

    daemon_threads = True

    def __init__(self, sock: socket.socket, options: AppOptions) -> None:
        super().__init__("", Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = sock
        url = str(options.options.get("url", "http://recommendation:8080/"))
        seconds = float(str(options.options.get("seconds", SECONDS)))
        self.asker = Asker(url, options.proxy, seconds)
        self.journal = Journal(options.journal, options.pod)
        self.counter = itertools.count(1)


class Handler(BaseHTTPRequestHandler):
    """One connection; it stays open between requests."""

    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:
        """Ask recommendation, answer with what it said."""
        url = urlsplit(self.path)
        if url.path.startswith("/health/"):
            self._answer(200, "OK\n", 0)
            return
        headers = {name: self.headers[name] for name in COPIED if name in self.headers}
        if parse_qs(url.query).get("by-hand") == ["1"]:
            status, text = self.server.asker.by_hand(headers)
        else:
            status, text = self.server.asker.once(headers, None)
        good = 200 <= status < 300
        said = text if good else f"Error: {status} - {text}"
        self._answer(200 if good else 503, f"reports => {said}\n", next(self.server.counter))

    def _answer(self, status: int, text: str, counter: int) -> None:
        self.server.journal.write(
            method="GET",
            path=self.path,
            request_id=self.headers.get("x-request-id", ""),
            status=status,
            counter=counter,
        )
        body = text.encode()
        self.send_response(status)
        self.send_header("content-type", "text/plain")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: the journal has it all."""


def serve(sock: socket.socket, options: AppOptions) -> None:
    """Serve on a bound socket until killed."""
    server = Server(sock, options)
    sock.listen(1024)
    lifeline.ready(options.ready_fd)
    server.serve_forever()
