"""Http1Server: HTTP/1.1 of one client connection.

Requests of one connection are served one after another.  What is not understood is refused, and
the connection closed: nothing behind it can be trusted.  A request begins its way upstream when
its head is complete; a body that is still on its way follows (``mesh.sidecar.body``).

Source: Envoy ``source/common/http/http1/codec_impl.cc``; RFC 9112.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable
from typing import TYPE_CHECKING

from mitmproxy.http import Response

from mesh.sidecar.body import SMALL_BODY, BodyStream, Trailers
from mesh.sidecar.local_reply import refusal
from mesh.sidecar.mitm.exchange import Exchange, log_refusal
from mesh.sidecar.mitm.http1 import BadRequestError, ChunkedReader, read_head
from mesh.sidecar.mitm.response import head_bytes, whole_bytes
from mesh.sidecar.mitm.tunnel import Tunnel
from mesh.sidecar.stream_info import StreamInfo
from mesh.sidecar.upstream.resets import UpstreamResetError

if TYPE_CHECKING:
    from mesh.sidecar.mitm.connection import ConnectionHandler


class Http1Server:
    """The codec of one connection; see ``exchange.Codec`` for what answers need of it."""

    protocol = "HTTP/1.1"

    def __init__(self, connection: ConnectionHandler) -> None:
        self._connection = connection
        self._hcm = connection.hcm
        self._transport = connection.transport
        self._loop = connection.loop
        self._buffer = bytearray()
        self._exchange: Exchange | None = None
        self._stream: BodyStream | None = None
        self._chunks: ChunkedReader | None = None
        self._left = 0
        self._closing = False
        self._draining = False
        self._lingering = False
        self._chunked_answer = False
        self._tunnel: Tunnel | None = None
        self._start = 0.0
        self._started = 0.0
        self._head_timer: asyncio.TimerHandle | None = None
        self.blocked: asyncio.Future[None] | None = None

    @property
    def busy(self) -> bool:
        """Whether a request is being served."""
        return self._exchange is not None

    def drain(self) -> None:
        """Answer the request under way, or the next one, with ``connection: close``.

        An answer whose head is out already could not say so: the client would send its next
        request into a connection that closes.
        """
        self._draining = True

    def close_idle(self) -> bool:
        """Tell whether the connection can be closed now; else it is after the answer."""
        self._closing = True
        return self._exchange is None

    def data_received(self, data: bytes) -> None:
        """Take bytes of the client."""
        if self._tunnel is not None:
            self._tunnel.from_client(data)
            return
        if self._lingering:
            return
        self._buffer += data
        try:
            if self._stream is not None:
                self._read_body(self._stream)
            elif self._exchange is None:
                self._read_head()
            elif len(self._buffer) > SMALL_BODY:
                self._transport.pause_reading()
        except BadRequestError as error:
            self._refuse(error)

    # Requests

    def _read_head(self) -> None:
        buffer = self._buffer
        while buffer[:2] == b"\r\n":
            del buffer[:2]
        if not self._started and buffer:
            self._start, self._started = time.time(), self._loop.time()
        end = buffer.find(b"\r\n\r\n")
        if end < 0 or end > self._hcm.max_head_bytes:
            if len(buffer) > self._hcm.max_head_bytes:
                raise BadRequestError(
                    "http1.headers_too_large", 431, b"Request Header Fields Too Large"
                )
            if b"\n\n" in buffer or (buffer and not buffer[:1].isupper()):
                raise BadRequestError
            if buffer and self._head_timer is None and self._hcm.request_headers_timeout:
                seconds = self._hcm.request_headers_timeout
                self._head_timer = self._loop.call_later(seconds, self._head_too_late)
            return
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
        raw = bytes(buffer[: end + 4])
        del buffer[: end + 4]
        head = read_head(raw, self._hcm.max_headers)
        self._closing = self._closing or head.close
        if head.expect_continue:
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        body, stream, bad = b"", None, None
        self._chunks = None
        if head.length is None:
            chunks = ChunkedReader()
            try:
                body = chunks.feed(buffer)
            except BadRequestError as error:
                bad, body = error, chunks.decoded
            if not chunks.done:
                self._chunks, self._stream = chunks, self._new_stream()
        elif head.length <= len(buffer):
            body = bytes(buffer[: head.length])
            del buffer[: head.length]
        else:
            body = bytes(buffer)
            buffer.clear()
            self._left = head.length - len(body)
            self._stream = self._new_stream()
        stream = self._stream
        if stream is not None:
            stream.feed(body)
            body = b""
        times = (self._start, self._started)
        self._exchange = Exchange(self._connection, self, head, body, stream, times)
        self._exchange.start()
        if bad is not None:
            self._refuse(bad)

    def _new_stream(self) -> BodyStream:
        transport = self._transport
        return BodyStream(transport.pause_reading, transport.resume_reading)

    def _read_body(self, stream: BodyStream) -> None:
        buffer = self._buffer
        if self._chunks is not None:
            data = self._chunks.feed(buffer)
            done = self._chunks.done
        else:
            data = bytes(buffer[: self._left])
            del buffer[: self._left]
            self._left -= len(data)
            done = self._left == 0
        stream.feed(data)
        if self._exchange is not None:
            self._exchange.touch()
        if done:
            self._stream = None
            stream.end()

    def _refuse(self, error: BadRequestError) -> None:
        """Answer a request that is not understood, and close."""
        self._closing = True
        self._buffer.clear()
        if self._exchange is not None:
            self._exchange.refuse(error)
            return
        self._transport.write(refusal(error, self._hcm.date(), self._hcm.server_name))
        log_refusal(self._connection, error, (self._start, self._started))
        self._linger()

    def _head_too_late(self) -> None:
        self._hcm.count("downstream_rq_header_timeout")
        body = b"request header timeout"
        self._refuse(BadRequestError("request_header_timeout", 408, body, ""))

    # Answers

    def closing(self) -> bool:
        """Tell whether the answer has to say ``connection: close``.

        An answer that comes before the whole request ends the connection: what follows could
        not be told from a request.
        """
        self._closing = self._closing or self._draining or self._stream is not None
        return self._closing

    def close_after(self) -> None:
        """Close the connection after this answer."""
        self._closing = True

    def send_whole(self, response: Response, method: bytes) -> int:
        """Write head and body."""
        raw, size = whole_bytes(response, method)
        self._transport.write(raw)
        return size

    def send_head(self, response: Response, method: bytes) -> None:
        """Write the head of an answer whose body is streamed."""
        raw, chunked = head_bytes(response, method)
        self._chunked_answer = chunked and method != b"HEAD"
        self._transport.write(raw)

    def send_data(self, data: bytes) -> None:
        """Write a piece of the body."""
        if self._chunked_answer:
            data = b"%x\r\n%b\r\n" % (len(data), data)
        self._transport.write(data)

    def send_end(self, trailers: Trailers) -> None:
        """End a streamed body; trailers are dropped, as Envoy does without ``enable_trailers``."""
        del trailers
        if self._chunked_answer:
            self._transport.write(b"0\r\n\r\n")

    def tunnel(self, response: Response, info: StreamInfo) -> Awaitable[None]:
        """Write the head of the answer 101 (or to CONNECT); what follows is not HTTP."""
        raw, _ = head_bytes(response, b"CONNECT")
        self._transport.write(raw)
        tunnel = self._tunnel = Tunnel(self._transport, info.upstream_connection, info)
        early, self._buffer = bytes(self._buffer), bytearray()
        if self._stream is not None:
            self._stream.end()
            self._stream = None
        return tunnel.run(early)

    def reset(self) -> None:
        """Cut the answer off: nothing more comes, and after the delayed close the connection ends.

        So does Envoy (``delayed_close_timeout``, a second): a caller whose own time limit is shorter
        says UT, not that the answer broke.
        """
        self._closing = True
        transport = self._transport
        if transport.is_closing():
            return
        if not self._hcm.delayed_close_timeout:
            transport.close()
            return
        self._lingering = True
        self._await_close()

    def _await_close(self) -> None:
        """Let the client close; do so when it does not."""
        if not self._transport.is_reading():
            self._transport.resume_reading()
        self._head_timer = self._loop.call_later(
            self._hcm.delayed_close_timeout, self._transport.close
        )

    def finished(self, exchange: Exchange) -> None:
        """Look for the next request of the connection."""
        del exchange
        self._exchange = None
        self._started = 0.0
        if self._transport.is_closing():
            return
        if self._tunnel is not None:
            self._transport.close()
            return
        if self._stream is not None:
            # The rest of a body that nobody wants any more.
            self._stream = None
            self._linger()
            return
        if self._closing:
            self._linger()
            return
        self._connection.idle_since = self._loop.time()
        if not self._transport.is_reading():
            self._transport.resume_reading()
        if self._buffer:
            self.data_received(b"")

    def _linger(self) -> None:
        """Close, yet let the client read: data that nobody reads would destroy the answer."""
        transport = self._transport
        if self._lingering or transport.is_closing():
            return
        self._lingering = True
        if not transport.can_write_eof() or not self._hcm.delayed_close_timeout:
            transport.close()
            return
        transport.write_eof()
        self._await_close()

    # Flow control and the end

    def pause_writing(self) -> None:
        """Wait: the client reads too slowly."""
        if self._tunnel is not None:
            self._tunnel.client_full(True)
        self.blocked = self._loop.create_future()

    def resume_writing(self) -> None:
        """Go on: there is room again."""
        if self._tunnel is not None:
            self._tunnel.client_full(False)
        if self.blocked is not None and not self.blocked.done():
            self.blocked.set_result(None)
        self.blocked = None

    def connection_lost(self) -> None:
        """Take note that the client is gone."""
        if self._head_timer is not None:
            self._head_timer.cancel()
        if self._stream is not None:
            self._stream.fail(UpstreamResetError("downstream disconnect", "DC"))
        if self._exchange is not None:
            self._exchange.gone()
        elif self._started and not self._lingering:
            log_refusal(self._connection, GONE, (self._start, self._started))
        self.resume_writing()


GONE = BadRequestError("downstream_remote_disconnect", 0, b"", "DC")
"""What the log says of a client that left in the middle of a head."""
