"""A gRPC service, on HTTP/2 alone: it sends the message of a call back, with its version before it.

What a mesh does with gRPC shows on it: status and trailers have to pass, and a call that fails has
HTTP status 200.  A call says in its metadata what should happen: ``x-fail: 14`` ends it with
that gRPC status after the message, ``x-refuse: 14`` in place of it (an answer of trailers only).
The journal has a line for each call: ``status`` is the gRPC status.
"""

from __future__ import annotations

import contextlib
import itertools
import socket
import struct
from threading import Lock, Thread

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, RequestReceived, StreamEnded
from h2.exceptions import ProtocolError

from services import lifeline
from services.journal import Journal
from services.options import AppOptions

HEAD = [(":status", "200"), ("content-type", "application/grpc")]


class GrpcEcho:
    """One thread a connection."""

    def __init__(self, options: AppOptions) -> None:
        self._options = options
        self._journal = Journal(options.journal, options.pod)
        self._counter = itertools.count(1)
        self._lock = Lock()

    def accept(self, sock: socket.socket) -> None:
        """Serve every connection of a listening socket; never returns."""
        while True:
            connection, _ = sock.accept()
            Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        machine = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))
        machine.initiate_connection()
        calls: dict[int, tuple[dict[str, str], bytes]] = {}
        with connection, contextlib.suppress(OSError, ProtocolError):
            connection.sendall(machine.data_to_send())
            while data := connection.recv(65536):
                for event in machine.receive_data(data):
                    if isinstance(event, RequestReceived):
                        calls[event.stream_id] = (_head(event), b"")
                    elif isinstance(event, DataReceived):
                        head, body = calls[event.stream_id]
                        calls[event.stream_id] = (head, body + event.data)
                        machine.acknowledge_received_data(
                            event.flow_controlled_length, event.stream_id
                        )
                    elif isinstance(event, StreamEnded):
                        head, body = calls.pop(event.stream_id)
                        self._answer(machine, event.stream_id, head, body)
                connection.sendall(machine.data_to_send())

    def _answer(
        self, machine: H2Connection, stream: int, head: dict[str, str], body: bytes
    ) -> None:
        refuse, fail = head.get("x-refuse", ""), head.get("x-fail", "0")
        with self._lock:
            self._journal.write(
                method=head.get(":method", ""),
                path=head.get(":path", ""),
                request_id=head.get("x-request-id", ""),
                status=int(refuse or fail),
                counter=next(self._counter),
                headers={name: value for name, value in head.items() if name[:1] != ":"},
            )
        if refuse:
            trailers = [*HEAD, ("grpc-status", refuse), ("grpc-message", "refused")]
            machine.send_headers(stream, trailers, end_stream=True)
            return
        message = f"{self._options.version} ".encode() + body[5:]
        machine.send_headers(stream, HEAD)
        machine.send_data(stream, struct.pack(">BI", 0, len(message)) + message)
        machine.send_headers(stream, [("grpc-status", fail)], end_stream=True)


def _head(event: RequestReceived) -> dict[str, str]:
    return {str(name): str(value) for name, value in event.headers}


def serve(sock: socket.socket, options: AppOptions) -> None:
    """Serve on a bound socket until killed."""
    server = GrpcEcho(options)
    sock.listen(1024)
    lifeline.ready(options.ready_fd)
    server.accept(sock)
