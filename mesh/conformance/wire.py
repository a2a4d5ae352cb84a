"""Bytes on a connection: what a request cannot say (raw TCP, TLS, tunnels, HTTP/2, half a close).

A step with ``talk`` opens one connection and does one thing after another with it: ``send``,
``take``, ``tls``, ``call`` (HTTP/2), ``shut``, ``reset``.  What was taken, without dates and ids,
is the evidence that both engines must agree on.
"""

from __future__ import annotations

import hashlib
import re
import socket
import ssl
import struct
from typing import Literal, Protocol, runtime_checkable
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, model_validator

from mesh.conformance.h2_call import H2Call, H2Connection
from mesh.testbed.client import TestbedError

SECONDS = 60.0
SHOWN = 2000
"""A longer body is shown as its size and digest."""
_DROPPED = ("date:", "keep-alive:", "x-request-id:", "transfer-encoding:", "connection: keep-alive")
_TIMED = re.compile(r"(x-envoy-upstream-service-time|x-b3-\w+|traceparent|tracestate): .*")
FILL = b"0123456789abcdef" * 4096


@runtime_checkable
class Doors(Protocol):
    """What a testbed has to tell of its ports."""

    def proxy_url(self, pod: str) -> str:
        """The outbound listener of a pod."""

    def gateway_port(self, number: int) -> int:
        """The port of this machine that is a port of the gateway."""

    def environment(self, pod: str) -> dict[str, str]:
        """Addresses of raw TCP services, as a pod's application is told (``ECHO_SERVICE_PORT``)."""


class Tls(BaseModel):
    """Speak TLS from here on, believing anybody; ``name`` is the server name that is asked for."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    alpn: tuple[str, ...] = ()


class Act(BaseModel):
    """One thing to do; ``repeat`` times (``send`` and ``call`` only).

    ``take``: ``answer`` (head and whole body of an HTTP/1.1 answer), ``head``, ``line``, ``end``
    (everything until the end of the connection; a reset is told), or a number of bytes.  ``fill``
    sends that many bytes.  ``shut`` closes the own direction, ``reset`` breaks the connection.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    send: str | None = None
    fill: int = Field(0, ge=0, le=100_000_000)
    take: Literal["answer", "head", "line", "end", ""] | int = ""
    tls: Tls | None = None
    call: H2Call | None = None
    shut: bool = False
    reset: bool = False

    @model_validator(mode="after")
    def _one_thing(self) -> Act:
        kinds = (self.send, self.fill, self.take, self.tls, self.call, self.shut, self.reset)
        if sum(map(bool, kinds)) != 1:
            raise ValueError("one of: send, fill, take, tls, call, shut, reset")
        return self


def port_of(bed: object, pod: str, place: str) -> int:
    """Return the port to connect to: ``proxy``, ``HOST:PORT`` of a TCP service, ``gateway:PORT``."""
    if not isinstance(bed, Doors):
        raise TestbedError("this runtime has no ports of its own to talk to")
    name, _, number = place.partition(":")
    if name == "gateway":
        return bed.gateway_port(int(number))
    if place == "proxy":
        return urlsplit(bed.proxy_url(pod)).port or 0
    prefix = name.upper().replace("-", "_").replace(".", "_")
    known = bed.environment(pod)
    port = known.get(f"{prefix}_SERVICE_PORT")
    if port is None:
        raise TestbedError(f"no TCP service {name!r}: there are {', '.join(sorted(known))}")
    return int(port)


class Talk:
    """One connection; ``took`` has what every ``take`` and ``call`` brought."""

    def __init__(self, port: int, request_id: str) -> None:
        self._socket: socket.socket = socket.create_connection(("127.0.0.1", port), SECONDS)
        self._id = request_id
        self._buffer = b""
        self._h2: H2Connection | None = None
        self.took: list[str] = []

    def act(self, act: Act) -> None:
        """Do one thing; an end or a reset of the connection is told in ``took``, not raised."""
        if act.send is not None:
            self._socket.sendall(act.send.replace("{id}", self._id).encode("latin-1"))
        elif act.fill:
            for start in range(0, act.fill, len(FILL)):
                self._socket.sendall(FILL[: act.fill - start])
        elif act.tls is not None:
            self._tls(act.tls)
        elif act.call is not None:
            if self._h2 is None:
                self._h2 = H2Connection(self._socket)
            self.took.append(self._h2.call(act.call, self._id))
        elif act.shut:
            self._socket.shutdown(socket.SHUT_WR)
        elif act.reset:
            linger = struct.pack("ii", 1, 0)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self._socket.close()
        else:
            self.took.append(self._take(act.take))

    def close(self) -> None:
        """Close."""
        self._socket.close()

    def _tls(self, tls: Tls) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        if tls.alpn:
            context.set_alpn_protocols(list(tls.alpn))
        try:
            wrapped = context.wrap_socket(self._socket, server_hostname=tls.name)
        except OSError as error:
            self.took.append(f"no TLS: {type(error).__name__}")
            return
        self._socket = wrapped
        self.took.append(f"TLS {wrapped.version()} {wrapped.selected_alpn_protocol() or '-'}")

    def _more(self) -> bool:
        data = self._socket.recv(65536)
        self._buffer += data
        return bool(data)

    def _until(self, end: bytes) -> bytes | None:
        """Take up to and with ``end``; None when the connection ends before it."""
        while end not in self._buffer:
            if not self._more():
                return None
        found, _, self._buffer = self._buffer.partition(end)
        return found + end

    def _exactly(self, size: int) -> bytes:
        while len(self._buffer) < size and self._more():
            pass
        found, self._buffer = self._buffer[:size], self._buffer[size:]
        return found

    def _rest(self) -> bytes:
        while self._more():
            pass
        found, self._buffer = self._buffer, b""
        return found

    def _take(self, what: str | int) -> str:
        try:
            if isinstance(what, int):
                return shown(self._exactly(what))
            if what == "line":
                return shown(self._until(b"\n") or b"the end")
            if what == "end":
                return shown(self._rest())
            head = self._until(b"\r\n\r\n")
            if head is None:
                return "the end"
            return clean_head(head) + ("" if what == "head" else "\n" + shown(self._body(head)))
        except ConnectionResetError:
            return "a reset"

    def _body(self, head: bytes) -> bytes:
        lower = head.lower()
        if b"\r\ntransfer-encoding: chunked\r\n" in lower:
            body = b""
            while size := int((self._until(b"\r\n") or b"0").split(b";")[0], 16):
                body += self._exactly(size)
                self._exactly(2)
            self._until(b"\r\n")
            return body
        length = re.search(rb"\r\ncontent-length: (\d+)\r\n", lower)
        if length is None and lower[9:12] not in (b"204", b"304", b"101"):
            return self._rest()
        return self._exactly(int(length.group(1)) if length else 0)


def shown(data: bytes) -> str:
    """Return bytes as text, or their size and digest when they are many."""
    if len(data) > SHOWN:
        return f"{len(data)} bytes, sha256 {hashlib.sha256(data).hexdigest()[:16]}"
    return data.decode("latin-1")


def clean_head(head: bytes) -> str:
    """Return a head without what no two runs share, header names in lower case, sorted."""
    first, *lines = head.decode("latin-1").rstrip("\r\n").split("\r\n")
    kept = []
    for line in lines:
        name, colon, value = line.partition(":")
        text = f"{name.lower()}{colon}{value}"
        if not text.startswith(_DROPPED):
            kept.append(_TIMED.sub(r"\1: *", text))
    return "\n".join([first, *sorted(kept)])
