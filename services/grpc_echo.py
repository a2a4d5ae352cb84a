"""A gRPC service, on HTTP/2 alone: it sends the message of a call back, with its version before it.

``/echo.Echo/Say`` is one message for one; ``Repeat`` answers with as many as the metadata ``x-count``
says (a server's stream), ``Gather`` takes many and answers once, with all of them (a client's), and
``Chat`` answers each message when it comes (both).

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
from h2.events import DataReceived, RequestReceived, StreamEnded, StreamReset
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
        calls: dict[int, Call] = {}
        with connection, contextlib.suppress(OSError, ProtocolError):
            connection.sendall(machine.data_to_send())
            while data := connection.recv(65536):
                for event in machine.receive_data(data):
                    if isinstance(event, RequestReceived):
                        calls[event.stream_id] = Call(machine, event.stream_id, _head(event))
                    elif isinstance(event, DataReceived):
                        machine.acknowledge_received_data(
                            event.flow_controlled_length, event.stream_id
                        )
                        for message in calls[event.stream_id].feed(event.data):
                            self._message(calls[event.stream_id], message)
                    elif isinstance(event, StreamEnded):
                        self._answer(calls.pop(event.stream_id))
                    elif isinstance(event, StreamReset):
                        calls.pop(event.stream_id, None)
                connection.sendall(machine.data_to_send())

    def _message(self, call: Call, message: bytes) -> None:
        if call.kind == "Chat":
            call.send(f"{self._options.version} ".encode() + message)

    def _answer(self, call: Call) -> None:
        head = call.head
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
            call.machine.send_headers(call.stream, trailers, end_stream=True)
            return
        if call.kind != "Chat":
            text = f"{self._options.version} ".encode() + b", ".join(call.messages)
            for _ in range(int(head.get("x-count", "1")) if call.kind == "Repeat" else 1):
                call.send(text)
        call.end(fail)


class Call:
    """One call of a client: ``messages`` are those that came whole."""

    def __init__(self, machine: H2Connection, stream: int, head: dict[str, str]) -> None:
        self.machine = machine
        self.stream = stream
        self.head = head
        self.kind = head.get(":path", "").rpartition("/")[2]
        self.messages: list[bytes] = []
        self._data = b""
        self._begun = False

    def feed(self, data: bytes) -> list[bytes]:
        """Take bytes; return the messages that are whole now."""
        self._data += data
        new = []
        while len(self._data) >= 5:
            end = 5 + int(struct.unpack(">I", self._data[1:5])[0])
            if len(self._data) < end:
                break
            new.append(self._data[5:end])
            self._data = self._data[end:]
        self.messages += new
        return new

    def send(self, message: bytes) -> None:
        """Send a message, after the head when it is the first."""
        self._begin()
        self.machine.send_data(self.stream, struct.pack(">BI", 0, len(message)) + message)

    def end(self, status: str) -> None:
        """End the call with a gRPC status."""
        self._begin()
        self.machine.send_headers(self.stream, [("grpc-status", status)], end_stream=True)

    def _begin(self) -> None:
        if not self._begun:
            self._begun = True
            self.machine.send_headers(self.stream, HEAD)


def _head(event: RequestReceived) -> dict[str, str]:
    return {str(name): str(value) for name, value in event.headers}


def serve(sock: socket.socket, options: AppOptions) -> None:
    """Serve on a bound socket until killed."""
    server = GrpcEcho(options)
    sock.listen(1024)
    lifeline.ready(options.ready_fd)
    server.accept(sock)
