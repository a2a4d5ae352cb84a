"""Exchange: one request and its answer, whatever the version of HTTP they travel in.

A codec (``server_http1``, ``server_http2``) reads a head and makes an Exchange; it runs the
addons' hooks and the listener's filters on a real ``HTTPFlow`` and gives the codec the answer to
write.  ``cut`` ends a request early: with a local reply while nothing has been answered, else by
cutting the answer off, as Envoy does with time limits and with bodies that break the rules.

Source: Envoy ``source/common/http/conn_manager_impl.cc`` (ActiveStream).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

from mitmproxy.http import Response

from mesh.sidecar.local_reply import local_reply
from mesh.sidecar.mitm.flow import make_flow, make_request
from mesh.sidecar.mitm.http1 import BadRequestError, RawHead
from mesh.sidecar.stream_info import METADATA_KEY, StreamInfo
from mesh.sidecar.upstream.resets import UpstreamResetError

if TYPE_CHECKING:
    from mesh.sidecar.body import BodyStream, Trailers
    from mesh.sidecar.mitm.connection import ConnectionHandler

logger = logging.getLogger(__name__)


class Codec(Protocol):
    """What an exchange needs of the connection, or of the HTTP/2 stream, that it came on."""

    protocol: str

    @property
    def blocked(self) -> asyncio.Future[None] | None:
        """What to wait for before more is written; None: nothing."""

    def closing(self) -> bool:
        """Tell whether the answer has to announce the connection's end."""

    def close_after(self) -> None:
        """Close the connection after this answer."""

    def send_whole(self, response: Response, method: bytes) -> int:
        """Write an answer that is complete; return the size of its body."""

    def send_head(self, response: Response, method: bytes) -> None:
        """Write the head of an answer whose body is streamed."""

    def send_data(self, data: bytes) -> None:
        """Write a piece of the body."""

    def send_end(self, trailers: Trailers) -> None:
        """End a streamed body."""

    def tunnel(self, response: Response, info: StreamInfo) -> Awaitable[None]:
        """Write the head and pass bytes both ways from now on; done when they have ended."""

    def reset(self) -> None:
        """Cut the answer off."""

    def finished(self, exchange: Exchange) -> None:
        """Take note that the exchange is over."""


@dataclass(frozen=True, slots=True)
class Cut:
    """Why a request ends early: the local reply, or the flag when it is too late for one.

    ``complete``: the status when the whole request is there, 0 for the same; ``counter`` counts it.
    """

    status: int
    body: bytes
    details: str
    flag: str = ""
    complete: int = 0
    counter: str = ""


STREAM_IDLE = Cut(
    408, b"stream timeout", "stream_idle_timeout", "SI", 504, "downstream_rq_idle_timeout"
)
REQUEST_TIMEOUT = Cut(
    408, b"request timeout", "request_overall_timeout", counter="downstream_rq_timeout"
)
MAX_DURATION = Cut(
    408,
    b"downstream duration timeout",
    "max_duration_timeout",
    complete=504,
    counter="downstream_rq_max_duration_reached",
)
RESPONSE_TIMEOUT = Cut(504, b"upstream request timeout", "response_timeout", "UT")


class Exchange:
    """One request in service."""

    def __init__(
        self,
        connection: ConnectionHandler,
        codec: Codec,
        head: RawHead,
        body: bytes,
        stream: BodyStream | None,
        times: tuple[float, float],
    ) -> None:
        """Make flow and facts; ``times`` are (Unix time, monotonic) of the head's first byte."""
        self._hcm = hcm = connection.hcm
        self._addons = connection.listener.master.addons
        self._codec = codec
        self._head = head
        connection.count_request()
        self._loop = connection.loop
        if connection.secure:
            head.scheme = b"https"
        hcm.prepare_request(head, connection.info)
        self.info = info = StreamInfo(times[0], times[1], connection.info, codec.protocol)
        hcm.start_span(head, info)
        request = make_request(
            head.method, head.scheme, head.authority, head.path, head.fields, times[0]
        )
        request.data.content = body if stream is None else None
        self.flow = make_flow(connection.client, connection.server, request, "")
        connection.describe(info)
        hcm.original_client(head, info)
        info.bytes_received = len(body)
        info.request_stream = stream
        info.request_chunked = head.length is None
        if head.expect_continue:
            info.response_code = 100  # the codec has said so already; the answer's status follows
        info.limits = self
        self.flow.metadata[METADATA_KEY] = info
        self._task: asyncio.Task[None] | None = None
        self._cut: Cut | None = None
        self._responded = False
        self._timers: list[asyncio.TimerHandle] = []
        self._idle_seconds = 0.0
        self._active_at = 0.0

    def start(self) -> None:
        """Serve; the codec's ``finished`` is called at the end, perhaps before this returns."""
        hcm = self._hcm
        if hcm.stream_idle_timeout:
            self.limit_idle(hcm.stream_idle_timeout)
        if hcm.max_stream_duration:
            self.limit_duration(hcm.max_stream_duration)
        stream = self.info.request_stream
        if hcm.request_timeout and stream is not None:
            self._after(hcm.request_timeout, REQUEST_TIMEOUT, stream)
        self._task = asyncio.Task(self._serve(), loop=self._loop, eager_start=True)
        if self._task.done():
            self._finished()
        else:
            self._task.add_done_callback(self._finished)

    def _finished(self, _task: object = None) -> None:
        for timer in self._timers:
            timer.cancel()
        self._task = None
        self._codec.finished(self)

    def cut(self, cut: Cut) -> None:
        """End the request early; nothing happens when it is over."""
        if self._task is not None and self._cut is None:
            stream = self.info.request_stream
            if cut.complete and (stream is None or stream.complete):
                cut = replace(cut, status=cut.complete)
            self._cut = cut
            if cut.counter:
                self._hcm.count(cut.counter)
            self._task.cancel()

    def refuse(self, error: BadRequestError) -> None:
        """End the request because its body breaks the rules."""
        self.cut(Cut(error.status, error.body, error.details, error.flag))

    def gone(self) -> None:
        """End the request because its client has left."""
        if self._task is not None:
            self._cut = None
            self._codec.reset()
            self._task.cancel()

    # Time limits

    def _after(self, seconds: float, cut: Cut, stream: BodyStream | None = None) -> None:
        def fire() -> None:
            if stream is None or not stream.complete:
                self.cut(cut)

        self._timers.append(self._loop.call_later(seconds, fire))

    def limit_duration(self, seconds: float) -> None:
        """Let the whole exchange last ``seconds`` at most (``max_stream_duration``)."""
        self._after(seconds, MAX_DURATION)

    def limit_idle(self, seconds: float) -> None:
        """Cut the exchange when nothing moves for ``seconds`` (``stream_idle_timeout``)."""
        self._idle_seconds = seconds
        self.touch()
        self._timers.append(self._loop.call_later(seconds, self._look_idle))

    def touch(self) -> None:
        """Note that something of the request or of the answer has moved."""
        if self._idle_seconds:
            self._active_at = self._loop.time()

    def _look_idle(self) -> None:
        left = self._active_at + self._idle_seconds - self._loop.time()
        if not self._idle_seconds or self._task is None:
            return
        if left <= 0.0005:
            self.cut(STREAM_IDLE)
        else:
            self._timers.append(self._loop.call_later(left, self._look_idle))

    # Service

    async def _serve(self) -> None:
        flow, info, codec, hcm = self.flow, self.info, self._codec, self._hcm
        try:
            try:
                self._screen()
                if flow.response is None:
                    await self._addons.run_hook("request", flow)
                if flow.response is None:
                    await hcm.run_request(flow)
                await self._answer()
            except asyncio.CancelledError:
                cut = self._cut
                if cut is None:
                    raise
                if self._responded:
                    info.details = cut.details
                    if cut.flag:
                        info.flag(cut.flag)
                    codec.reset()
                else:
                    self._abandon()
                    codec.close_after()
                    local_reply(flow, info, cut.status, cut.body, cut.details, cut.flag)
                    await self._answer()
        except asyncio.CancelledError:
            info.flag("DC")
            info.details = "downstream_remote_disconnect"
            codec.reset()
        except UpstreamResetError as reset:
            info.flag(reset.flag)
            reason = reset.reason.replace(" ", "_")
            info.details = f"upstream_reset_after_response_started{{{reason}}}"
            codec.reset()
        except Exception:
            logger.exception("request %s %s failed", flow.request.method, flow.request.path)
            info.details = "internal_error"
            codec.reset()
        finally:
            self._abandon()
            if info.request_stream is not None:
                info.bytes_received = info.request_stream.size
            info.ended = self._loop.time()
            if not self._responded:
                self._addons.notify("error", flow)
            hcm.log(info, flow)

    def _abandon(self) -> None:
        """Give up an answer that is still arriving, and a request that is still being sent."""
        info = self.info
        stream = info.response_stream
        if stream is not None and not stream.complete:
            info.upstream_connection.abandon(info)
        if info.request_stream is not None and not info.request_stream.complete:
            info.request_stream.fail(UpstreamResetError("downstream disconnect", "DC"))

    def _screen(self) -> None:
        """Answer what Envoy refuses before the first filter."""
        head, flow, info = self._head, self.flow, self.info
        if head.refusal:
            self._codec.close_after()
            local_reply(flow, info, 400, b"", head.refusal)
        elif head.method == b"CONNECT":
            self._codec.close_after()
            info.upgrade = b"connect"
            info.upgrade_allowed = b"connect" in self._hcm.upgrades
        elif head.path[:1] != b"/":
            local_reply(flow, info, 404, b"", "absolute_path_rejected")
        elif head.upgrade:
            self._codec.close_after()
            info.upgrade, info.upgrade_connection = head.upgrade, head.connection
            info.upgrade_allowed = head.upgrade.lower() in self._hcm.upgrades

    async def _answer(self) -> None:
        """Run the filters on the answer and write it."""
        flow, info, codec = self.flow, self.info, self._codec
        await self._hcm.run_response(flow)
        await self._addons.run_hook("response", flow)
        response: Any = flow.response
        status = response.data.status_code
        tunnel = status == 101 or info.tunnelled
        if info.headers_only and codec.protocol == "HTTP/1.1" and not tunnel:
            _say_empty(response, self._head.method)
        self._hcm.finish_response(flow, not tunnel and codec.closing())
        info.response_code = status
        self._responded = True
        self.touch()
        if tunnel:
            await codec.tunnel(response, info)
        elif info.response_stream is None:
            info.bytes_sent = codec.send_whole(response, self._head.method)
            if codec.blocked is not None:
                await codec.blocked
        elif info.response_timer is None:
            await self._stream(response, info.response_stream)
        else:
            try:
                async with asyncio.timeout(None) as scope:
                    info.response_timer.attach(scope)
                    await self._stream(response, info.response_stream)
            except TimeoutError:
                info.timed_out()
                info.flag("UT")
                info.details = "response_timeout"
                codec.reset()
            finally:
                info.response_timer.detach()

    async def _stream(self, response: Response, stream: BodyStream) -> None:
        codec, info = self._codec, self.info
        codec.send_head(response, self._head.method)
        async for piece in stream:
            info.bytes_sent += len(piece)
            codec.send_data(piece)
            self.touch()
            if codec.blocked is not None:
                await codec.blocked
                self.touch()
        codec.send_end(stream.trailers)


def _say_empty(response: Response, method: bytes) -> None:
    """Write ``content-length: 0``: HTTP/1.1 has no other way to say that there is no body."""
    empty = method == b"HEAD" or response.status_code in (204, 304)
    if not empty and "content-length" not in response.headers:
        response.headers["content-length"] = "0"


def log_refusal(
    connection: ConnectionHandler, error: BadRequestError, times: tuple[float, float]
) -> None:
    """Write the access log line of a request whose head was not understood."""
    info = StreamInfo(times[0], times[1], connection.info)
    connection.describe(info)
    info.ended = connection.loop.time()
    info.response_code = error.status
    info.details = error.details
    info.bytes_sent = len(error.body)
    if error.flag:
        info.flag(error.flag)
    connection.hcm.log(info, None)
