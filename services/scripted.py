"""A scripted backend: it answers as it is told, well or badly, and says what it received.

Conformance cases and labs need applications that fail in chosen ways.  Options (all optional):

``script``   list of answers, one a request, in order of arrival
``paths``    path (without query) -> list of answers; such requests do not use up ``script``
``repeat``   true: an exhausted list starts again; else ``default`` answers from then on
``default``  the answer outside any list; ``{}`` is 200 with the JSON below
``refuse``   true: connections are refused, as when the application is not there

A request can bring its own script in the header ``x-script``: a JSON list of answers, one for
each time the request comes (``x-request-id`` tells; the last one stands for all further times),
or an object: version -> such a list, or ``{"attempts": list}``, where the sidecar's number of the try
chooses, whichever pod it comes to.  So one mesh serves many cases, and retries meet what the test wants.

An answer: ``status`` (200), ``body`` (text; absent: the JSON), ``headers`` (name -> value or list
of values), ``delay`` (seconds before it), ``times`` (stands for so many equal answers),
``close: before_headers`` (connection closed without an answer), ``close: mid_body`` (closed after
half of the body), ``reset: true`` (closed with a reset), ``connection_close: true`` (an answer
with ``connection: close``), ``raw`` (these bytes instead of HTTP, then closed), ``hold: NAME``
(kept back until somebody asks for ``/release/NAME``; a client can thus see what happens while
requests are under way, without any timing), ``size`` (a body of so many bytes), ``digest: true``
(the body says how many bytes came, and their SHA-256), ``raw`` with ``echo: true`` (every byte that
comes after it is sent back: an upgraded connection).

``/health/ready`` answers 200, or 503 between ``/sick`` and ``/well``.

The JSON: ``pod``, ``version``, ``method``, ``path``, ``headers`` (lower-case names; values of a
repeated one joined by ``,``), ``body``, ``counter`` (of all requests), ``connection`` (number of
the connection it came on, from 1).  The journal's lines have ``headers`` too, so mirrored
requests, whose answers nobody reads, can be looked into.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import socket
import time
from http.client import responses
from threading import Event, Lock, Thread

from services import lifeline
from services.httpwire import Received, WireError, read_request, reset
from services.journal import Journal
from services.options import AppOptions
from services.script import Answer, Gate, OwnScripts, Script

RELEASE = "/release/"
SICK, WELL = "/sick", "/well"


class ScriptedServer:
    """One thread a connection; the decision which answer comes is made in order of arrival."""

    def __init__(self, sock: socket.socket, options: AppOptions) -> None:
        self._sock = sock
        self._options = options
        self._script = Script.parse(options.options)
        self._own = OwnScripts(options.version)
        self._gate = Gate()
        self._journal = Journal(options.journal, options.pod)
        self._lock = Lock()
        self._counter = 0
        self._sick = False

    def serve(self) -> None:
        """Accept connections until killed."""
        for number in itertools.count(1):
            connection, _ = self._sock.accept()
            Thread(target=self._talk, args=(connection, number), daemon=True).start()

    def _talk(self, connection: socket.socket, number: int) -> None:
        with connection:
            try:
                while self._one(connection, number):
                    pass
            except (OSError, WireError):
                return  # the peer went away or does not speak HTTP: nothing to answer

    def _one(self, connection: socket.socket, number: int) -> bool:
        """Handle one request; False when the connection is to be closed."""
        request = read_request(connection)
        if request is None:
            return False
        path = request.target.partition("?")[0]
        if path.startswith(("/health/", RELEASE)) or path in (SICK, WELL):
            request.finish(connection)
            connection.sendall(self._control(path))
            return True
        with self._lock:
            self._counter += 1
            counter = self._counter
            answer = self._own.next(request.headers) or self._script.next(path)
        silent = answer.reset or answer.close == "before_headers" or answer.raw is not None
        self._write_down(request, 0 if silent else answer.status, counter)
        if answer.hold:
            self._gate.wait(answer.hold)
        if answer.delay:
            time.sleep(answer.delay)  # a slow backend is what the script asks for
        if answer.reset:
            reset(connection)
            return False
        request.finish(connection)
        if answer.close == "before_headers":
            return False
        if answer.raw is not None:
            connection.sendall(answer.raw.encode())
            while answer.echo and (data := connection.recv(65536)):
                connection.sendall(data)
            return False
        body = self._body(request, answer, counter, number)
        last = answer.connection_close or request.wants_close
        message = _response(answer, b"" if request.method == "HEAD" else body, last=last)
        if answer.close == "mid_body":
            connection.sendall(message[: len(message) - (len(body) + 1) // 2])
            return False
        connection.sendall(message)
        return not last

    def _control(self, path: str) -> bytes:
        """Do what somebody asks of the backend itself; not a request of the mesh."""
        if path.startswith(RELEASE):
            self._gate.release(path.removeprefix(RELEASE))
        elif path in (SICK, WELL):
            self._sick = path == SICK
        elif path == "/health/ready" and self._sick:
            return _response(Answer(503, body="sick\n"), b"sick\n")
        return _response(Answer(body="OK\n"), b"OK\n")

    def _write_down(self, request: Received, status: int, counter: int) -> None:
        self._journal.write(
            method=request.method,
            path=request.target,
            request_id=request.headers.get("x-request-id", ""),
            status=status,
            counter=counter,
            headers=request.headers,
        )

    def _body(self, request: Received, answer: Answer, counter: int, number: int) -> bytes:
        if answer.size:
            return b"z" * answer.size
        if answer.digest:
            digest = hashlib.sha256(request.body).hexdigest()[:16]
            return f"{len(request.body)} bytes, sha256 {digest}\n".encode()
        if answer.body is not None:
            return answer.body.encode()
        seen = {
            "pod": self._options.pod,
            "version": self._options.version,
            "method": request.method,
            "path": request.target,
            "headers": request.headers,
            "body": request.body.decode("utf-8", "replace"),
            "counter": counter,
            "connection": number,
        }
        return json.dumps(seen).encode() + b"\n"


def _response(answer: Answer, body: bytes, *, last: bool = False) -> bytes:
    """The whole message; ``last`` says that no other follows on this connection (RFC 9112, 9.6)."""
    names = {name for name, _ in answer.headers}
    lines = [f"HTTP/1.1 {answer.status} {responses.get(answer.status, 'Scripted')}"]
    if "content-type" not in names:
        kind = "application/json" if answer.body is None else "text/plain"
        lines.append(f"content-type: {kind}")
    bodiless = answer.status == 204 or answer.status == 304
    if not bodiless and "content-length" not in names:
        lines.append(f"content-length: {len(body)}")
    lines += [f"{name}: {value}" for name, value in answer.headers]
    if last:
        lines.append("connection: close")
    return "\r\n".join([*lines, "", ""]).encode() + (b"" if bodiless else body)


def serve(sock: socket.socket, options: AppOptions) -> None:
    """Serve a script on a bound socket until killed; ValueError when the script is wrong."""
    server = ScriptedServer(sock, options)
    if options.options.get("refuse", False):
        # Bound and never listening: whoever connects is refused.
        lifeline.ready(options.ready_fd)
        Event().wait()
    sock.listen(1024)
    lifeline.ready(options.ready_fd)
    server.serve()
