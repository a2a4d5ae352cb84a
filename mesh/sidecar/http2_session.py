"""Http2Session: the part of HTTP/2 that a server and a client share.

mitmproxy brings ``h2``, which knows frames, streams and windows; what is left is to send bodies
as fast as the peer's windows allow, and to open our own windows only as fast as somebody takes
the bytes.  A stream that waits never holds up another one of the same connection.

Source: RFC 9113; Envoy ``source/common/http/http2/codec_impl.cc``.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import Event
from h2.exceptions import FlowControlError, ProtocolError, StreamClosedError
from h2.settings import SettingCodes, Settings
from hyperframe.frame import GoAwayFrame

Headers = list[tuple[bytes, bytes]]

STREAM_WINDOW = 256 * 1024
CONNECTION_WINDOW = 1024 * 1024
MAX_STREAMS = 1024
"""Streams that a client may have open at a time: Envoy's default."""

CONNECTION_HEADERS = frozenset(
    (b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade", b"host")
)
"""Headers that HTTP/2 has no place for."""


class Outgoing:
    """What a stream still has to send: pieces of its body, then perhaps trailers."""

    __slots__ = ("blocked", "ended", "pieces", "size", "trailers")

    def __init__(self) -> None:
        self.pieces: deque[bytes] = deque()
        self.size = 0
        self.ended = False
        self.trailers: Headers = []
        self.blocked: asyncio.Future[None] | None = None


class Http2Session:
    """One HTTP/2 connection over ``transport``."""

    def __init__(
        self, transport: asyncio.Transport, client: bool, header_bytes: int = 64 * 1024
    ) -> None:
        self._transport = transport
        self._h2 = H2Connection(
            H2Configuration(client_side=client, header_encoding=None, logger=None)
        )
        initial = {
            SettingCodes.INITIAL_WINDOW_SIZE: STREAM_WINDOW,
            SettingCodes.MAX_CONCURRENT_STREAMS: MAX_STREAMS,
            SettingCodes.MAX_HEADER_LIST_SIZE: header_bytes,
        }
        if client:
            initial[SettingCodes.ENABLE_PUSH] = 0
        self._h2.local_settings = Settings(client=client, initial_values=initial)
        self._outgoing: dict[int, Outgoing] = {}
        self._paused = False
        self._h2.initiate_connection()
        self._h2.increment_flow_control_window(CONNECTION_WINDOW - 65535)
        self.flush()

    def flush(self) -> None:
        """Write what h2 has made."""
        data = self._h2.data_to_send()
        if data and not self._transport.is_closing():
            self._transport.write(data)

    def receive(self, data: bytes) -> list[Event]:
        """Take bytes of the peer.  Raises h2's ProtocolError; GOAWAY has then been sent."""
        try:
            return self._h2.receive_data(data)
        except ProtocolError:
            self.flush()
            raise

    def new_stream(self) -> int:
        """Return the number of the next stream of a client."""
        return int(self._h2.get_next_available_stream_id())

    def room(self) -> int:
        """How many more streams the peer lets a client open."""
        return int(self._h2.remote_settings.max_concurrent_streams - self._h2.open_outbound_streams)

    def send_headers(self, stream: int, headers: Headers, end: bool) -> None:
        """Send headers; nothing happens on a stream that is closed."""
        try:
            self._h2.send_headers(stream, headers, end_stream=end)
        except (ProtocolError, StreamClosedError):
            return
        if not end:
            self._outgoing.setdefault(stream, Outgoing())
        self.flush()

    def send_data(self, stream: int, data: bytes) -> None:
        """Send a piece of a body as soon as the windows allow it."""
        outgoing = self._outgoing.get(stream)
        if outgoing is not None and data:
            outgoing.pieces.append(data)
            outgoing.size += len(data)
            self._push(stream, outgoing)

    def send_end(self, stream: int, trailers: Headers) -> None:
        """End a body, with ``trailers`` if there are any."""
        outgoing = self._outgoing.get(stream)
        if outgoing is not None:
            outgoing.ended, outgoing.trailers = True, trailers
            self._push(stream, outgoing)

    def blocked(self, stream: int) -> asyncio.Future[None] | None:
        """Return what to wait for before more is sent on ``stream``; None: nothing."""
        outgoing = self._outgoing.get(stream)
        if outgoing is None or (not outgoing.size and not self._paused):
            return None
        if outgoing.blocked is None or outgoing.blocked.done():
            outgoing.blocked = asyncio.get_running_loop().create_future()
        return outgoing.blocked

    def _push(self, stream: int, outgoing: Outgoing) -> None:
        """Send as much of ``outgoing`` as the windows and the transport take."""
        h2 = self._h2
        try:
            while outgoing.size and not self._paused:
                window = min(h2.local_flow_control_window(stream), h2.max_outbound_frame_size)
                if window <= 0:
                    break
                piece = outgoing.pieces.popleft()
                if len(piece) > window:
                    outgoing.pieces.appendleft(piece[window:])
                    piece = piece[:window]
                outgoing.size -= len(piece)
                last = outgoing.ended and not outgoing.size and not outgoing.trailers
                h2.send_data(stream, piece, end_stream=last)
                self.flush()
                if last:
                    self._done(stream)
                    return
            if outgoing.ended and not outgoing.size:
                if outgoing.trailers:
                    h2.send_headers(stream, outgoing.trailers, end_stream=True)
                else:
                    h2.end_stream(stream)
                self._done(stream)
                self.flush()
                return
        except (ProtocolError, StreamClosedError, FlowControlError, KeyError):
            self._done(stream)
            return
        if not outgoing.size and not self._paused:
            _wake(outgoing)

    def _done(self, stream: int) -> None:
        outgoing = self._outgoing.pop(stream, None)
        if outgoing is not None:
            _wake(outgoing)

    def window_updated(self, stream: int) -> None:
        """Go on with ``stream`` (0: all of them): the peer has opened a window."""
        numbers = [stream] if stream else list(self._outgoing)
        for number in numbers:
            outgoing = self._outgoing.get(number)
            if outgoing is not None:
                self._push(number, outgoing)

    def pause(self, paused: bool) -> None:
        """Stop and go on with the transport's buffer."""
        self._paused = paused
        if not paused:
            self.window_updated(0)

    def acknowledge(self, stream: int, size: int) -> None:
        """Open our window by ``size`` bytes that somebody has taken."""
        if not size:
            return
        try:
            self._h2.acknowledge_received_data(size, stream)
        except (ProtocolError, StreamClosedError):
            return
        self.flush()

    def reset(self, stream: int, code: ErrorCodes = ErrorCodes.INTERNAL_ERROR) -> None:
        """Cut a stream off."""
        self._done(stream)
        try:
            self._h2.reset_stream(stream, code)
        except (ProtocolError, StreamClosedError):
            return
        self.flush()

    def forget(self, stream: int) -> None:
        """Drop what was to be sent on a stream that the peer has cut off."""
        self._done(stream)

    def go_away(self) -> None:
        """Tell the peer to open no further streams here (h2's own way would end all streams)."""
        frame: Any = GoAwayFrame(0)
        frame.last_stream_id = self._h2.highest_inbound_stream_id
        frame.error_code = 0
        if not self._transport.is_closing():
            self._transport.write(frame.serialize())


def _wake(outgoing: Outgoing) -> None:
    if outgoing.blocked is not None and not outgoing.blocked.done():
        outgoing.blocked.set_result(None)
    outgoing.blocked = None


class Credit:
    """Our window of one stream: bytes are acknowledged when somebody has room for them.

    ``pause`` and ``resume`` are for the BodyStream that takes the bytes.
    """

    __slots__ = ("_held", "_paused", "_session", "_stream")

    def __init__(self, session: Http2Session, stream: int) -> None:
        self._session = session
        self._stream = stream
        self._held = 0
        self._paused = False

    def received(self, size: int) -> None:
        """Count ``size`` bytes that came in."""
        self._held += size
        if not self._paused:
            self.resume()

    def pause(self) -> None:
        """Keep the window closed from now on."""
        self._paused = True

    def resume(self) -> None:
        """Open the window by what has been held back."""
        self._paused = False
        held, self._held = self._held, 0
        self._session.acknowledge(self._stream, held)
