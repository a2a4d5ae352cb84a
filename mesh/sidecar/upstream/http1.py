"""UpstreamConnection: one HTTP/1.1 connection to one endpoint.

mitmproxy ties a server connection to a client connection; retries, mirrors, balancing and
circuit breakers need connections that belong to a cluster.  So the sidecar brings its own
client: an ``asyncio.Protocol``, one request at a time, strict about the framing of answers.
"""

from __future__ import annotations

import asyncio
import select
from collections.abc import Callable
from typing import cast

from mesh.sidecar.body import SMALL_BODY, BodyStream
from mesh.sidecar.mitm.http1 import MAX_HEAD, BadRequestError, ChunkedReader
from mesh.sidecar.upstream.message import UpstreamRequest, UpstreamResponse
from mesh.sidecar.upstream.resets import (
    UpstreamResetError,
    connection_termination,
    protocol_error,
)
from mesh.sidecar.upstream.response_head import read_response_head

_WITHOUT_BODY = frozenset((b"GET", b"HEAD", b"DELETE", b"TRACE", b"CONNECT"))
"""A request of any other method says ``content-length: 0`` when it has no body."""

_PEER_LEFT = getattr(select, "POLLRDHUP", 0)
"""Linux tells of an end that nobody has read; elsewhere only what ``poll`` says unasked counts."""

PATIENCE = 0.001
"""Seconds for the rest of a short body to follow its head: then both are written in one piece."""


def head_bytes(request: UpstreamRequest) -> bytes:
    """Return the head of ``request`` in HTTP/1.1, with the empty line."""
    parts = [b"%b %b HTTP/1.1\r\nhost: %b\r\n" % (request.method, request.path, request.authority)]
    parts += [b"%b: %b\r\n" % item for item in request.fields]
    if request.chunked:
        parts.append(b"transfer-encoding: chunked\r\n")
    elif request.method not in _WITHOUT_BODY and not _has_length(request):
        parts.append(b"content-length: 0\r\n")
    if request.upgrade:
        said = request.connection or b"upgrade"
        parts.append(b"connection: %b\r\nupgrade: %b\r\n" % (said, request.upgrade))
    parts.append(b"\r\n")
    return b"".join(parts)


def _has_length(request: UpstreamRequest) -> bool:
    return any(name == b"content-length" for name, _ in request.fields)


class UpstreamConnection(asyncio.Protocol):
    """Send a request, receive its answer; ``reusable`` says whether another may follow.

    ``on_idle`` is called once after each complete answer, ``on_closed`` once when the
    connection is gone.
    """

    protocol = "HTTP/1.1"

    def __init__(
        self,
        on_idle: Callable[[UpstreamConnection], None],
        on_closed: Callable[[UpstreamConnection], None],
    ) -> None:
        self._on_idle = on_idle
        self._on_closed = on_closed
        self._buffer = bytearray()
        self._answer: asyncio.Future[UpstreamResponse] | None = None
        self._head: UpstreamResponse | None = None
        self._left: int | None = 0
        self._chunks: ChunkedReader | None = None
        self._stream: BodyStream | None = None
        self._method = b""
        self._upgrade = False
        self._until_close = False
        self._patience: asyncio.TimerHandle | None = None
        self._impatient = False
        self._writable: asyncio.Future[None] | None = None
        self._tunnel: Callable[[bytes], None] | None = None
        self._sending = False
        self.busy = False
        self.owner: object = None
        self.expiry: asyncio.TimerHandle | None = None
        self.closed = False
        self.reusable = True
        self.requests = 0
        self.idle_since = 0.0
        self._sender: asyncio.Task[None] | None = None
        self.on_full: Callable[[bool], None] | None = None
        self.on_gone: Callable[[], None] | None = None
        self._watched = select.poll()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self.transport = cast(asyncio.Transport, transport)
        self._watched.register(self.transport.get_extra_info("socket").fileno(), _PEER_LEFT)

    @property
    def left(self) -> bool:
        """Whether the peer has closed, also when asyncio has yet to read that.

        Envoy reads until nothing is there, so it knows of an end that came with the answer; asyncio
        reads once a turn, and a retry without a pause would take the dead connection.
        """
        if self.closed or self.transport.is_closing():
            return True
        return bool(self._watched.poll(0))

    def send(self, request: UpstreamRequest) -> asyncio.Future[UpstreamResponse]:
        """Write ``request`` and return the coming answer; a streamed body follows as it arrives."""
        loop = asyncio.get_running_loop()
        self.busy = True
        self.requests += 1
        self._method = request.method
        self._upgrade = bool(request.upgrade)
        self._answer = loop.create_future()
        self._head = None
        head, body = head_bytes(request), request.body
        if request.stream is not None:
            self._sending = True
            self.transport.write(head)
            self._sender = loop.create_task(self._send_body(request.stream, request.chunked))
            return self._answer
        if request.chunked:
            body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body) if body else b"0\r\n\r\n"
        self.transport.write(head + body)
        return self._answer

    async def _send_body(self, stream: BodyStream, chunked: bool) -> None:
        """Send the body while it arrives; the answer may begin before it ends.

        When the client leaves, the connection is closed: the upstream must not take half a body
        for a whole one.  When the upstream leaves, its answer (or reset) tells.
        """
        try:
            async for data in stream:
                if self.closed:
                    return
                self.transport.write(b"%x\r\n%b\r\n" % (len(data), data) if chunked else data)
                if self._writable is not None:
                    await self._writable
        except UpstreamResetError:
            self.abort()
            return
        if not self.closed:
            if chunked:
                self.transport.write(b"0\r\n\r\n")
            self._sending = False
            self._sender = None
            if not self.busy:
                self.owner = None
                self._on_idle(self)

    def tunnel(self, receiver: Callable[[bytes], None]) -> None:
        """After an answer 101: pass every further byte to ``receiver`` (``b""`` at the end)."""
        self._tunnel = receiver
        self.reusable = False
        if self._buffer:
            receiver(bytes(self._buffer))
            self._buffer.clear()

    def abandon(self, owner: object) -> None:
        """Close, when ``owner`` still has it: after its answer it may serve somebody else."""
        if self.owner is owner:
            self.abort()

    def abort(self) -> None:
        """Close at once; whoever awaits the answer gets a reset."""
        self.reusable = False
        answer, self._answer = self._answer, None
        if answer is not None and not answer.done():
            answer.set_exception(connection_termination())
            answer.exception()  # who gave up does not ask for it any more
        if self._sender is not None:
            self._sender.cancel()
        if not self.closed:
            self.transport.abort()

    def give_back(self) -> None:
        """Return to the pool unused."""
        self._on_idle(self)

    def close(self) -> None:
        """Close an idle connection."""
        self.reusable = False
        if not self.closed:
            self.transport.close()

    def pause_writing(self) -> None:
        """Called by asyncio: the send buffer is full."""
        if self.on_full is not None:
            self.on_full(True)
        self._writable = asyncio.get_running_loop().create_future()

    def resume_writing(self) -> None:
        """Called by asyncio: the send buffer has room."""
        if self.on_full is not None:
            self.on_full(False)
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)
        self._writable = None

    def data_received(self, data: bytes) -> None:
        """Called by asyncio with bytes of an answer."""
        if self._tunnel is not None:
            self._tunnel(data)
            return
        self._buffer += data
        if not self.busy:
            # Bytes nobody asked for: the next answer on this connection could not be trusted.
            self.close()
            return
        try:
            if self._head is None:
                self._read_head()
            if self._head is not None:
                self._read_body()
        except (UpstreamResetError, BadRequestError):
            self._fail(protocol_error())
            self.transport.abort()

    def _read_head(self) -> None:
        while True:
            end = self._buffer.find(b"\r\n\r\n")
            if end < 0:
                start = bytes(self._buffer[:7])
                if len(self._buffer) > MAX_HEAD or not b"HTTP/1.".startswith(start):
                    raise protocol_error()
                if b"\n\n" in self._buffer:
                    raise protocol_error()  # an end of another kind
                return
            head = read_response_head(bytes(self._buffer[: end + 4]))
            del self._buffer[: end + 4]
            if head.status >= 200 or (head.status == 101 and self._upgrade):
                break
            if head.status == 101:
                raise protocol_error()  # nobody asked for another protocol
        if head.close:
            self.reusable = False
        self._chunks, self._left, self._until_close = None, head.length, False
        if head.status in (101, 204, 304) or self._method == b"HEAD":
            self._left = 0
            if head.status == 101:
                head.fields.append((b"connection", b"upgrade"))
        elif head.chunked:
            self._chunks, self._left = ChunkedReader(), None
        elif head.length is None:
            self._until_close, self.reusable = True, False
        self._stream = None
        self._head = UpstreamResponse(head.status, head.reason, head.fields, b"")

    def _read_body(self) -> None:
        head, buffer = self._head, self._buffer
        assert head is not None
        if self._chunks is None and self._stream is None and self._left is not None:
            if len(buffer) >= self._left:
                head.body = bytes(buffer[: self._left])
                del buffer[: self._left]
                self._complete()
                return
            if self._left <= SMALL_BODY and not self._impatient:
                if self._patience is None:
                    loop = asyncio.get_running_loop()
                    self._patience = loop.call_later(PATIENCE, self._pass_on)
                return
        if self._chunks is not None:
            data = self._chunks.feed(buffer)
            done = self._chunks.done
        else:
            take = len(buffer) if self._left is None else min(self._left, len(buffer))
            data = bytes(buffer[:take])
            del buffer[:take]
            done = False
            if self._left is not None:
                self._left -= take
                done = self._left == 0
        if self._stream is None:
            if done:
                head.body = data
                self._complete()
                return
            self._stream = self._start_stream()
        if data:
            self._stream.feed(data)
        if done:
            self._stream.end()
            self._complete()

    def _pass_on(self) -> None:
        """Wait no longer for the rest of a short body: its head and what is there go on, as in Envoy."""
        self._patience = None
        if self._head is not None and self._stream is None and not self.closed:
            self._impatient = True
            self._read_body()

    def _be_patient(self) -> None:
        self._impatient = False
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def _start_stream(self) -> BodyStream:
        head, answer = self._head, self._answer
        assert head is not None
        head.stream = BodyStream(self._pause_reading, self._resume_reading)
        if answer is not None and not answer.done():
            answer.set_result(head)
        return head.stream

    def _pause_reading(self) -> None:
        if not self.closed:
            self.transport.pause_reading()

    def _resume_reading(self) -> None:
        if not self.closed:
            self.transport.resume_reading()

    def _complete(self) -> None:
        head, answer, self._answer = self._head, self._answer, None
        self._be_patient()
        self.busy = False
        self._head = self._stream = None
        if not self._sending:
            self.owner = None
        if not self.closed and not self.transport.is_reading():
            self._resume_reading()  # the reader of a long body was slow, or has left
        if self._buffer and (head is None or head.status != 101):
            self.reusable = False
        if head is not None and head.status == 101:
            self.reusable = False
        elif not self._sending:
            self._on_idle(self)
        else:
            self.reusable = False  # the answer came before the whole request was sent
        if answer is not None and head is not None and not answer.done():
            answer.set_result(head)

    def _fail(self, reset: UpstreamResetError) -> None:
        answer, self._answer = self._answer, None
        self._be_patient()
        if self._stream is not None:
            self._stream.fail(reset)
        elif self._head is not None and answer is not None:
            # A short body was being collected: what came of it is passed on, as Envoy does.
            self._answer = answer
            stream = self._start_stream()
            if self._chunks is None:
                stream.feed(bytes(self._buffer))
            stream.fail(UpstreamResetError("protocol error", "UPE"))
            self._answer = None
        elif answer is not None and not answer.done():
            answer.set_exception(reset)
        self.busy = False
        self.reusable = False

    def connection_lost(self, error: Exception | None) -> None:
        """Called by asyncio: the connection is gone."""
        self.closed = True
        self.resume_writing()
        if self._tunnel is not None:
            self._tunnel(b"")
        if self.busy and self._until_close and self._head is not None:
            if self._stream is None:
                self._stream = self._start_stream()
            self._stream.end()
            self.busy = False
        elif self.busy:
            cut = self._stream is not None or self._buffer
            self._fail(protocol_error() if cut else connection_termination())
        self._on_closed(self)
