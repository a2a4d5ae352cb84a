"""Http2Connection: one HTTP/2 connection to one endpoint, many requests at a time.

Istio selects it by the port's protocol (names ``http2-...`` and ``grpc-...``, ``appProtocol``), by
``connectionPool.http.h2UpgradePolicy: UPGRADE`` or ``useClientProtocol`` of a DestinationRule.
See it with ``meshctl proxy-config cluster POD -o json`` (``http2ProtocolOptions``).

Source: Envoy ``source/common/http/http2/codec_impl.cc`` (ClientConnectionImpl).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

from h2.errors import ErrorCodes
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    Event,
    InformationalResponseReceived,
    RemoteSettingsChanged,
    ResponseReceived,
    StreamEnded,
    StreamReset,
    TrailersReceived,
    WindowUpdated,
)
from h2.exceptions import ProtocolError

from mesh.sidecar.body import BodyStream
from mesh.sidecar.http2_session import CONNECTION_HEADERS, Credit, Headers, Http2Session
from mesh.sidecar.upstream.message import UpstreamRequest, UpstreamResponse
from mesh.sidecar.upstream.resets import (
    UpstreamResetError,
    connection_termination,
    protocol_error,
)


def remote_reset(code: int | ErrorCodes | None) -> UpstreamResetError:
    """Describe a stream that the peer has cut off; a refused one has not been looked at."""
    if code == ErrorCodes.REFUSED_STREAM:
        return UpstreamResetError("remote refused stream reset", "UR")
    return UpstreamResetError("remote reset", "UR")


class Http2Stream:
    """One request on the connection; for an attempt it is a connection of its own."""

    protocol = "HTTP/2"

    def __init__(self, connection: Http2Connection) -> None:
        self._connection = connection
        self._number = 0
        self._answer: asyncio.Future[UpstreamResponse] | None = None
        self._response: UpstreamResponse | None = None
        self._credit: Credit | None = None
        self._sender: asyncio.Task[None] | None = None
        self._over = False
        self.owner: object = None

    def send(self, request: UpstreamRequest) -> asyncio.Future[UpstreamResponse]:
        """Send ``request`` and return the coming answer; a streamed body follows as it arrives."""
        loop = asyncio.get_running_loop()
        self._answer = answer = loop.create_future()
        session = self._connection.session
        if request.upgrade or not self._connection.usable:
            # An upgrade needs HTTP/1.1; a connection that was given out may have ended since.
            self.fail(protocol_error() if request.upgrade else connection_termination())
            return answer
        self._number = self._connection.add(self)
        self._credit = Credit(session, self._number)
        headers: Headers = [
            (b":method", request.method),
            (b":scheme", request.scheme),
            (b":authority", request.authority),
            (b":path", request.path),
            *(item for item in request.fields if item[0] not in CONNECTION_HEADERS),
        ]
        last = request.stream is None and not request.body and not request.trailers
        session.send_headers(self._number, headers, end=last)
        if request.stream is not None:
            self._sender = loop.create_task(self._send_body(request.stream))
        elif not last:
            session.send_data(self._number, request.body)
            session.send_end(self._number, request.trailers)
        return answer

    async def _send_body(self, stream: BodyStream) -> None:
        session = self._connection.session
        try:
            async for data in stream:
                if self._over:
                    return
                session.send_data(self._number, data)
                blocked = session.blocked(self._number)
                if blocked is not None:
                    await blocked
        except UpstreamResetError:
            self.abort()
            return
        session.send_end(self._number, stream.trailers)

    def headers(self, headers: Headers, ended: bool) -> None:
        """Take the head of the answer."""
        status = int(dict(headers).get(b":status", b"0"))
        fields = [item for item in headers if item[0][:1] != b":"]
        self._response = response = UpstreamResponse(status, b"", fields, b"")
        credit = self._credit
        assert credit is not None
        if ended:
            response.headers_only = True
            self._finish()
        else:
            response.stream = BodyStream(credit.pause, credit.resume)
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(response)

    def data(self, data: bytes, size: int) -> None:
        """Take a piece of the answer's body."""
        response = self._response
        if response is not None and response.stream is not None and self._credit is not None:
            response.stream.feed(data)
            self._credit.received(size)

    def end(self, trailers: Headers) -> None:
        """Take the end of the answer."""
        if self._over:
            return
        if self._response is not None and self._response.stream is not None:
            self._response.stream.end(trailers)
        self._finish()

    def _finish(self) -> None:
        """The answer is complete; a request that is not is cut off."""
        self._over = True
        if self._sender is not None and not self._sender.done():
            self._sender.cancel()
            self._connection.session.reset(self._number, ErrorCodes.NO_ERROR)
        self._connection.remove(self._number)

    def fail(self, reset: UpstreamResetError) -> None:
        """The stream has ended without a complete answer."""
        if self._over:
            return
        self._over = True
        if self._sender is not None:
            self._sender.cancel()
        if self._response is not None and self._response.stream is not None:
            self._response.stream.fail(reset)
        elif self._answer is not None and not self._answer.done():
            self._answer.set_exception(reset)
        if self._number:
            self._connection.session.forget(self._number)
            self._connection.remove(self._number)

    def abandon(self, owner: object) -> None:
        """Give the answer up; a stream has one owner only."""
        del owner
        self.abort()

    def abort(self) -> None:
        """Give the answer up."""
        if self._over:
            return
        self._over = True
        if self._sender is not None:
            self._sender.cancel()
        if self._response is not None and self._response.stream is not None:
            self._response.stream.fail(connection_termination())
        if self._number:
            self._connection.session.reset(self._number, ErrorCodes.CANCEL)
            self._connection.remove(self._number)

    def give_back(self) -> None:
        """Return unused."""
        self._over = True


class Http2Connection(asyncio.Protocol):
    """The connection; ``usable`` says whether it takes further requests.

    ``on_free`` is called when a request has ended, ``on_closed`` once when the connection is gone.
    """

    def __init__(
        self,
        on_free: Callable[[Http2Connection], None],
        on_closed: Callable[[Http2Connection], None],
    ) -> None:
        self._on_free = on_free
        self._on_closed = on_closed
        self._streams: dict[int, Http2Stream] = {}
        self.session: Http2Session
        self.requests = 0
        self.closed = False
        self.going_away = False
        self.idle_since = 0.0
        self.on_gone: Callable[[], None] | None = None

    @property
    def usable(self) -> bool:
        """Whether another request may be sent now."""
        return not self.closed and not self.going_away and self.session.room() > 0

    @property
    def active(self) -> int:
        """How many requests are under way."""
        return len(self._streams)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by asyncio: connected; the preface goes out."""
        self.transport = cast(asyncio.Transport, transport)
        self.session = Http2Session(self.transport, client=True)

    def add(self, stream: Http2Stream) -> int:
        """Register a request that begins; return its number."""
        number = self.session.new_stream()
        self._streams[number] = stream
        self.requests += 1
        return number

    def remove(self, number: int) -> None:
        """Forget a request that has ended."""
        if self._streams.pop(number, None) is None:
            return
        if self.going_away and not self._streams:
            self.close()
        self._on_free(self)

    def data_received(self, data: bytes) -> None:
        """Called by asyncio with bytes of answers."""
        try:
            events = self.session.receive(data)
        except ProtocolError:
            self._fail_all(protocol_error())
            self.transport.close()
            return
        for event in events:
            self._handle(event)
        self.session.flush()

    def _handle(self, event: Event) -> None:
        if isinstance(event, WindowUpdated):
            self.session.window_updated(event.stream_id or 0)
        elif isinstance(event, RemoteSettingsChanged):
            self.session.window_updated(0)
            self._on_free(self)
        elif isinstance(event, ConnectionTerminated):
            self._go_away(event)
        elif isinstance(event, InformationalResponseReceived):
            return
        else:
            stream = self._streams.get(getattr(event, "stream_id", 0) or 0)
            if stream is None:
                if isinstance(event, DataReceived):
                    self.session.acknowledge(
                        event.stream_id or 0, event.flow_controlled_length or 0
                    )
            elif isinstance(event, ResponseReceived):
                stream.headers(_fields(event.headers), event.stream_ended is not None)
            elif isinstance(event, DataReceived):
                stream.data(event.data or b"", event.flow_controlled_length or 0)
            elif isinstance(event, TrailersReceived):
                stream.end(_fields(event.headers))
            elif isinstance(event, StreamEnded):
                stream.end([])
            elif isinstance(event, StreamReset):
                stream.fail(remote_reset(event.error_code))

    def _go_away(self, event: ConnectionTerminated) -> None:
        self.going_away = True
        last = event.last_stream_id or 0
        for number, stream in list(self._streams.items()):
            if number > last:
                stream.fail(remote_reset(ErrorCodes.REFUSED_STREAM))
        if not self._streams:
            self.close()

    def _fail_all(self, reset: UpstreamResetError) -> None:
        self.going_away = True
        for stream in list(self._streams.values()):
            stream.fail(reset)

    def drain(self) -> None:
        """Take no further requests, and close after the last answer."""
        self.going_away = True
        if not self._streams:
            self.close()

    def close(self) -> None:
        """Close."""
        self.going_away = True
        if not self.closed:
            self.transport.close()

    def pause_writing(self) -> None:
        """Called by asyncio: the send buffer is full."""
        self.session.pause(True)

    def resume_writing(self) -> None:
        """Called by asyncio: the send buffer has room."""
        self.session.pause(False)

    def connection_lost(self, error: Exception | None) -> None:
        """Called by asyncio: the connection is gone."""
        del error
        self.closed = True
        self._fail_all(connection_termination())
        self._on_closed(self)


def _fields(headers: object) -> Headers:
    return [(bytes(name), bytes(value)) for name, value in headers or []]  # type: ignore[attr-defined]
