"""Http2Server: HTTP/2 of one client connection; every stream is an exchange of its own.

In a mesh gRPC needs it: many calls on one connection, each with trailers that carry its status.
A client begins with the preface (``h2c``, prior knowledge) or has chosen ``h2`` by ALPN.
See the protocol of a request with ``meshctl logs POD`` (``protocol: HTTP/2``).

Source: Envoy ``source/common/http/http2/codec_impl.cc`` (ServerConnectionImpl).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable
from typing import TYPE_CHECKING

from h2.errors import ErrorCodes
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    Event,
    RemoteSettingsChanged,
    RequestReceived,
    StreamEnded,
    StreamReset,
    TrailersReceived,
    WindowUpdated,
)
from h2.exceptions import ProtocolError
from mitmproxy.http import Response

from mesh.sidecar.body import BodyStream, Trailers
from mesh.sidecar.http2_session import CONNECTION_HEADERS, Credit, Http2Session
from mesh.sidecar.mitm.exchange import Exchange
from mesh.sidecar.mitm.http1 import MAX_HEAD, MAX_HEADERS, RawHead
from mesh.sidecar.stream_info import StreamInfo
from mesh.sidecar.upstream.resets import UpstreamResetError

if TYPE_CHECKING:
    from mesh.sidecar.mitm.connection import ConnectionHandler

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


class ServerStream:
    """One request on the connection, and the way back for its answer (``exchange.Codec``)."""

    protocol = "HTTP/2"

    def __init__(self, server: Http2Server, session: Http2Session, number: int) -> None:
        self._server = server
        self._session = session
        self.number = number
        self.exchange: Exchange | None = None
        self.body: BodyStream | None = None
        self.credit = Credit(session, number)

    @property
    def blocked(self) -> asyncio.Future[None] | None:
        """What to wait for before more of the answer is written."""
        return self._session.blocked(self.number)

    def closing(self) -> bool:
        """Nothing to announce: HTTP/2 says goodbye with GOAWAY."""
        return False

    def close_after(self) -> None:
        """Nothing to do: other streams go on."""

    def _headers(self, response: Response) -> Trailers:
        data = response.data
        kept = [item for item in data.headers.fields if item[0] not in CONNECTION_HEADERS]
        return [(b":status", b"%d" % data.status_code), *kept]

    def send_whole(self, response: Response, method: bytes) -> int:
        """Write an answer that is complete."""
        body = response.data.content or b""
        if method == b"HEAD" or response.data.status_code in (204, 304):
            body = b""
        trailers = response.data.trailers
        last = trailers is None or not trailers.fields
        headers = self._headers(response)
        self._session.send_headers(self.number, headers, end=last and not body)
        if body or not last:
            self._session.send_data(self.number, body)
            self._session.send_end(self.number, list(trailers.fields) if trailers else [])
        return len(body)

    def send_head(self, response: Response, method: bytes) -> None:
        """Write the head of an answer whose body is streamed."""
        del method
        self._session.send_headers(self.number, self._headers(response), end=False)

    def send_data(self, data: bytes) -> None:
        """Write a piece of the body."""
        self._session.send_data(self.number, data)

    def send_end(self, trailers: Trailers) -> None:
        """End a streamed body."""
        self._session.send_end(self.number, trailers)

    def tunnel(self, response: Response, info: StreamInfo) -> Awaitable[None]:
        """Refuse: tunnels (WebSocket, CONNECT) run over HTTP/1.1 here."""
        del response, info
        raise UpstreamResetError("protocol error", "UPE")

    def reset(self) -> None:
        """Cut the answer off."""
        self._session.reset(self.number)

    def finished(self, exchange: Exchange) -> None:
        """Take note that the exchange is over."""
        del exchange
        self._server.finished(self)

    def fail(self, flag: str) -> None:
        """The client has cut the stream off, or left."""
        self._session.forget(self.number)
        if self.body is not None:
            self.body.fail(UpstreamResetError("downstream disconnect", flag))
        if self.exchange is not None:
            self.exchange.gone()


class Http2Server:
    """The codec of one connection."""

    def __init__(self, connection: ConnectionHandler) -> None:
        self._connection = connection
        self._transport = connection.transport
        self._session = Http2Session(
            connection.transport, client=False, header_bytes=connection.hcm.max_head_bytes + 4096
        )
        self._streams: dict[int, ServerStream] = {}
        self._draining = False

    @property
    def busy(self) -> bool:
        """Whether a request is being served."""
        return bool(self._streams)

    def drain(self) -> None:
        """Take no further streams, and close when the last one has ended."""
        if not self._draining:
            self._draining = True
            self._session.go_away()
            if not self._streams:
                self._transport.close()

    def close_idle(self) -> bool:
        """Tell whether the connection can be closed now; else it is after the last answer."""
        if self._streams:
            self.drain()
            return False
        return True

    def data_received(self, data: bytes) -> None:
        """Take bytes of the client."""
        try:
            events = self._session.receive(data)
        except ProtocolError:
            self._transport.close()
            return
        for event in events:
            self._handle(event)
        self._session.flush()

    def _handle(self, event: Event) -> None:
        if isinstance(event, RequestReceived):
            self._request(event)
        elif isinstance(event, DataReceived):
            stream = self._streams.get(event.stream_id or 0)
            size = event.flow_controlled_length or 0
            if stream is None or stream.body is None:
                self._session.acknowledge(event.stream_id or 0, size)
                return
            stream.body.feed(event.data or b"")
            stream.credit.received(size)
            if stream.exchange is not None:
                stream.exchange.touch()
        elif isinstance(event, TrailersReceived):
            stream = self._streams.get(event.stream_id or 0)
            if stream is not None and stream.body is not None:
                stream.body.end(_fields(event.headers))
        elif isinstance(event, StreamEnded):
            stream = self._streams.get(event.stream_id or 0)
            if stream is not None and stream.body is not None:
                stream.body.end()
        elif isinstance(event, StreamReset):
            stream = self._streams.get(event.stream_id or 0)
            if stream is not None:
                stream.fail("DC")
        elif isinstance(event, WindowUpdated):
            self._session.window_updated(event.stream_id or 0)
        elif isinstance(event, RemoteSettingsChanged):
            self._session.window_updated(0)
        elif isinstance(event, ConnectionTerminated):
            self._draining = True
            if not self._streams:
                self._transport.close()

    def _request(self, event: RequestReceived) -> None:
        number = event.stream_id or 0
        times = (time.time(), self._connection.loop.time())
        if self._draining:
            self._session.reset(number, ErrorCodes.REFUSED_STREAM)
            return
        hcm = self._connection.hcm
        head = read_head(_fields(event.headers), hcm.max_headers, hcm.max_head_bytes)
        if head is None:
            self._session.reset(number, ErrorCodes.PROTOCOL_ERROR)
            return
        stream = self._streams[number] = ServerStream(self, self._session, number)
        if event.stream_ended is None:
            stream.body = BodyStream(stream.credit.pause, stream.credit.resume)
        else:
            head.length = head.length or 0
        if head.expect_continue:
            self._session.send_headers(number, [(b":status", b"100")], end=False)
        stream.exchange = Exchange(self._connection, stream, head, b"", stream.body, times)
        stream.exchange.start()

    def finished(self, stream: ServerStream) -> None:
        """Take note that the exchange of ``stream`` is over."""
        self._streams.pop(stream.number, None)
        if stream.body is not None and not stream.body.complete:
            self._session.reset(stream.number, ErrorCodes.NO_ERROR)
        if not self._streams:
            self._connection.idle_since = self._connection.loop.time()
            if self._draining and not self._transport.is_closing():
                self._transport.close()

    def pause_writing(self) -> None:
        """Wait: the client reads too slowly."""
        self._session.pause(True)

    def resume_writing(self) -> None:
        """Go on: there is room again."""
        self._session.pause(False)

    def connection_lost(self) -> None:
        """Take note that the client is gone."""
        for stream in list(self._streams.values()):
            stream.fail("DC")


def _fields(headers: object) -> Trailers:
    return [(bytes(name), bytes(value)) for name, value in headers or []]  # type: ignore[attr-defined]


def read_head(
    headers: Trailers, max_headers: int = MAX_HEADERS, max_bytes: int = MAX_HEAD
) -> RawHead | None:
    """Make the head of a request of HTTP/2 headers; None when a part is missing, or it is too large.

    Several ``cookie`` headers become one; ``h2`` has checked names and pseudo headers.
    """
    pseudo: dict[bytes, bytes] = {}
    fields: Trailers = []
    cookies: list[bytes] = []
    length: int | None = None
    expect = False
    for name, value in headers:
        if name[:1] == b":":
            pseudo[name] = value
        elif name == b"cookie":
            cookies.append(value)
        elif name == b"expect" and value.lower() == b"100-continue":
            expect = True
        elif name == b"host":
            pseudo.setdefault(b":authority", value)
        else:
            fields.append((name, value))
            if name == b"content-length":
                length = int(value)
    if cookies:
        fields.append((b"cookie", b"; ".join(cookies)))
    method = pseudo.get(b":method", b"")
    size = sum(len(name) + len(value) for name, value in headers)
    if not method or len(headers) - len(cookies) > max_headers or size > max_bytes:
        return None
    authority = pseudo.get(b":authority", b"")
    path = pseudo.get(b":path", b"")
    refusal = "" if authority else "missing_host_header"
    if b"#" in path:
        refusal = "path_normalization_failed"
    scheme = pseudo.get(b":scheme", b"http")
    return RawHead(method, scheme, authority, path, fields, length, False, b"", expect, refusal)
