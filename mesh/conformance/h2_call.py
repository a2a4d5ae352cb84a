"""A call over HTTP/2, so also of gRPC: head, messages and trailers as they come.  Blocking."""

from __future__ import annotations

import re
import socket
import struct

from h2.config import H2Configuration
from h2.connection import H2Connection as Machine
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    ResponseReceived,
    StreamEnded,
    StreamReset,
    TrailersReceived,
)
from pydantic import BaseModel, ConfigDict

_VOLATILE = re.compile(r"^(date|x-request-id|traceparent|tracestate|x-b3-.*)$")
_TIMED = "x-envoy-upstream-service-time"


class H2Call(BaseModel):
    """One request: ``grpc`` puts the body into a gRPC message; ``{id}`` in headers is the request's id.

    ``messages`` are sent one by one as gRPC messages; with ``chat`` each only when the one before was answered.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    method: str = "POST"
    authority: str
    path: str
    headers: dict[str, str] = {}
    body: str = ""
    grpc: bool = False
    messages: tuple[str, ...] = ()
    chat: bool = False


class H2Connection:
    """One connection with prior knowledge; calls one after another."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._machine = Machine(H2Configuration(client_side=True, header_encoding="utf-8"))
        self._machine.initiate_connection()
        self._flush()

    def _flush(self) -> None:
        data = self._machine.data_to_send()
        if data:
            self._socket.sendall(data)

    def call(self, call: H2Call, request_id: str) -> str:
        """Return the answer: its headers, the body, its trailers, each on lines of their own."""
        stream = self._machine.get_next_available_stream_id()
        headers = [
            (":method", call.method),
            (":scheme", "http"),
            (":authority", call.authority),
            (":path", call.path),
            ("x-request-id", request_id),
            *((name, value.replace("{id}", request_id)) for name, value in call.headers.items()),
        ]
        body = call.body.encode()
        if call.grpc or call.messages:
            headers += [("content-type", "application/grpc"), ("te", "trailers")]
        if call.grpc:
            body = _message(call.body)
        self._machine.send_headers(stream, headers, end_stream=not (body or call.messages))
        answer = _Answer(stream)
        for text in call.messages:
            self._machine.send_data(stream, _message(text))
            self._flush()
            wanted = answer.messages + 1
            while call.chat and not answer.over and answer.messages < wanted:
                self._receive(answer)
        if (body or call.messages) and not answer.over:
            self._machine.send_data(stream, body, end_stream=True)
        self._flush()
        while not answer.over:
            self._receive(answer)
        return answer.text()

    def _receive(self, answer: _Answer) -> None:
        """Read once."""
        data = self._socket.recv(65536)
        if not data:
            answer.end("the end")
        for event in self._machine.receive_data(data):
            if isinstance(event, DataReceived):
                self._machine.acknowledge_received_data(
                    event.flow_controlled_length or 0, answer.stream
                )
            answer.take(event)
        self._flush()


class _Answer:
    """What has come of a call so far."""

    def __init__(self, stream: int) -> None:
        self.stream = stream
        self.over = False
        self._parts: list[str] = []
        self._received = b""
        self._complete = False

    @property
    def messages(self) -> int:
        """How many whole gRPC messages have come."""
        return len(_messages(self._received))

    def take(self, event: object) -> None:
        """Take note of an event."""
        if isinstance(event, ResponseReceived):
            self._parts.append(_lines(event.headers))
        elif isinstance(event, DataReceived):
            self._received += event.data or b""
        elif isinstance(event, TrailersReceived):
            self._parts.append("trailers\n" + _lines(event.headers))
        elif isinstance(event, StreamReset):
            self.end(f"reset {event.error_code!r}")
        elif isinstance(event, ConnectionTerminated):
            self.end(f"goodbye {event.error_code!r}")
        elif isinstance(event, StreamEnded):
            self.over = self._complete = True

    def end(self, why: str) -> None:
        """The call ends without its end."""
        self._parts.append(why)
        self.over = True

    def text(self) -> str:
        """Return headers, body and trailers."""
        if self._complete:
            self._parts.insert(1, f"body {self._received.decode('latin-1')!r}")
        return "\n".join(self._parts)


def _message(text: str) -> bytes:
    """Return a gRPC message."""
    return struct.pack(">BI", 0, len(text.encode())) + text.encode()


def _messages(data: bytes) -> list[bytes]:
    """Return the whole gRPC messages at the beginning of ``data``."""
    found = []
    while len(data) >= 5 and len(data) >= 5 + (size := int(struct.unpack(">I", data[1:5])[0])):
        found.append(data[5 : 5 + size])
        data = data[5 + size :]
    return found


def _lines(headers: object) -> str:
    pairs = [(str(name), str(value)) for name, value in headers]  # type: ignore[attr-defined]
    return "\n".join(
        sorted(
            f"{name}: {'*' if name == _TIMED else value}"
            for name, value in pairs
            if not _VOLATILE.match(name)
        )
    )
