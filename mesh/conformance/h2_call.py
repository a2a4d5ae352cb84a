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
    """One request: ``grpc`` puts the body into a gRPC message; ``{id}`` in headers is the request's id."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    method: str = "POST"
    authority: str
    path: str
    headers: dict[str, str] = {}
    body: str = ""
    grpc: bool = False


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
        if call.grpc:
            headers += [("content-type", "application/grpc"), ("te", "trailers")]
            body = struct.pack(">BI", 0, len(body)) + body
        self._machine.send_headers(stream, headers, end_stream=not body)
        if body:
            self._machine.send_data(stream, body, end_stream=True)
        self._flush()
        parts: list[str] = []
        received = b""
        while True:
            data = self._socket.recv(65536)
            if not data:
                return "\n".join([*parts, "the end"])
            for event in self._machine.receive_data(data):
                if isinstance(event, ResponseReceived):
                    parts.append(_lines(event.headers))
                elif isinstance(event, DataReceived):
                    received += event.data or b""
                    self._machine.acknowledge_received_data(
                        event.flow_controlled_length or 0, stream
                    )
                elif isinstance(event, TrailersReceived):
                    parts.append("trailers\n" + _lines(event.headers))
                elif isinstance(event, StreamReset):
                    self._flush()
                    return "\n".join([*parts, f"reset {event.error_code!r}"])
                elif isinstance(event, ConnectionTerminated):
                    return "\n".join([*parts, f"goodbye {event.error_code!r}"])
                elif isinstance(event, StreamEnded):
                    self._flush()
                    parts.insert(1, f"body {received.decode('latin-1')!r}")
                    return "\n".join(parts)
            self._flush()


def _lines(headers: object) -> str:
    pairs = [(str(name), str(value)) for name, value in headers]  # type: ignore[attr-defined]
    return "\n".join(
        sorted(
            f"{name}: {'*' if name == _TIMED else value}"
            for name, value in pairs
            if not _VOLATILE.match(name)
        )
    )
