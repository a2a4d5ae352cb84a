"""ConnectionHandler: one client connection, HTTP/1.1, without mitmproxy's layer machinery.

Stock mitmproxy runs every event of a connection through layers, commands and tasks, which costs
several times what the work itself costs.  For HTTP/1.1 this protocol does the same in a straight
line: read a head (or refuse it), make an ``HTTPFlow``, run the ``request`` and ``response`` hooks of
the addons and filters, write the answer.  Requests of one connection are served one after another.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Any, cast

from mitmproxy.connection import Client, ConnectionState, Server
from mitmproxy.http import HTTPFlow

from mesh.sidecar.body import SMALL_BODY, BodyStream
from mesh.sidecar.local_reply import local_reply, refusal
from mesh.sidecar.mitm.flow import make_flow, make_request
from mesh.sidecar.mitm.http1 import MAX_HEAD, BadRequestError, ChunkedReader, RawHead, read_head
from mesh.sidecar.mitm.response import response_bytes
from mesh.sidecar.mitm.tunnel import Tunnel
from mesh.sidecar.stream_info import METADATA_KEY, ConnectionInfo, StreamInfo
from mesh.sidecar.upstream.resets import UpstreamResetError

if TYPE_CHECKING:
    from mesh.sidecar.http_connection_manager import HttpConnectionManager
    from mesh.sidecar.listener import ActiveListener


logger = logging.getLogger(__name__)


def connection_info(transport: asyncio.Transport) -> ConnectionInfo:
    """Read the addresses of a connection."""
    peer = transport.get_extra_info("peername") or ("", 0)
    own = transport.get_extra_info("sockname") or ("", 0)
    return ConnectionInfo((str(peer[0]), int(peer[1])), (str(own[0]), int(own[1])))


class ConnectionHandler(asyncio.Protocol):
    """Serve one connection of ``listener`` under the configuration it was accepted with.

    ``connection`` is known when somebody has looked at the connection before (TLS, inspectors).
    """

    def __init__(
        self,
        listener: ActiveListener,
        hcm: HttpConnectionManager,
        connection: ConnectionInfo | None = None,
    ) -> None:
        self._listener = listener
        self._hcm = hcm
        self._connection = connection
        self._loop = asyncio.get_running_loop()
        self._buffer = bytearray()
        self._task: asyncio.Task[None] | None = None
        self._head: RawHead | None = None
        self._stream: BodyStream | None = None
        self._chunks: ChunkedReader | None = None
        self._left = 0
        self._body = bytearray()
        self._request_done = False
        self._writable: asyncio.Future[None] | None = None
        self._closing = False
        self._tunnel: Any = None
        self._start = 0.0
        self._started = 0.0
        self.closed = asyncio.Event()

    @property
    def busy(self) -> bool:
        """Whether a request is being served."""
        return self._task is not None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by asyncio: a client connected."""
        self.transport = cast(asyncio.Transport, transport)
        if self._connection is None:
            self._connection = connection_info(self.transport)
        self._info = self._connection
        remote, tls = self._info.remote, self._info.tls
        self._remote_text = f"{remote[0]}:{remote[1]}"
        self._peer_uri_san = self._info.peer_uri_san
        self._server_name = self._info.server_name
        self._secure = tls is not None
        self._client = Client(
            peername=remote,
            sockname=self._info.local,
            state=ConnectionState.OPEN,
            proxy_mode=self._listener.mode,
        )
        if tls is not None:
            self._client.tls = True
            self._client.sni = tls.server_name or None
            self._client.tls_version = cast(Any, tls.version)
            self._client.alpn = tls.alpn.encode()
        self._server = Server(address=None)
        self._listener.connections.add(self)

    def drain(self) -> None:
        """Answer the request under way, or the next one, with ``connection: close``."""
        self._closing = True

    def close(self) -> None:
        """Close now, unless a request is being served: then after its answer."""
        self._closing = True
        if self._task is None:
            self.transport.close()

    def abort(self) -> None:
        """Close at once."""
        if not self.closed.is_set():
            self.transport.abort()

    def data_received(self, data: bytes) -> None:
        """Called by asyncio with bytes of the client."""
        if self._tunnel is not None:
            self._tunnel(data)
            return
        self._buffer += data
        try:
            if self._head is not None:
                self._read_body()
            elif self._task is None:
                self._read_head()
            elif len(self._buffer) > SMALL_BODY:
                self.transport.pause_reading()
        except BadRequestError as error:
            self._refuse(error)

    def _read_head(self) -> None:
        buffer = self._buffer
        while buffer[:2] == b"\r\n":
            del buffer[:2]
        end = buffer.find(b"\r\n\r\n")
        if end < 0 or end > MAX_HEAD:
            if len(buffer) > MAX_HEAD:
                raise BadRequestError(
                    "http1.headers_too_large", 431, b"Request Header Fields Too Large"
                )
            if b"\n\n" in buffer or (buffer and not buffer[:1].isupper()):
                raise BadRequestError
            return
        self._start, self._started = time.time(), self._loop.time()
        raw = bytes(buffer[: end + 4])
        del buffer[: end + 4]
        head = read_head(raw)
        self._head = head
        self._request_done = False
        self._stream = None
        self._chunks = ChunkedReader() if head.length is None else None
        self._left = head.length or 0
        self._body = bytearray()
        if head.expect_continue and head.length != 0:
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        self._read_body()

    def _read_body(self) -> None:
        head, buffer = self._head, self._buffer
        assert head is not None
        if self._chunks is not None:
            data = self._chunks.feed(buffer)
            done = self._chunks.done
        else:
            data = bytes(buffer[: self._left])
            del buffer[: self._left]
            self._left -= len(data)
            done = self._left == 0
        if self._stream is not None:
            self._stream.feed(data)
            if done:
                self._head = None
                self._stream.end()
            return
        self._body += data
        if done:
            self._head = None
            self._begin(head, bytes(self._body), None)
        elif len(self._body) > SMALL_BODY or self._left > SMALL_BODY:
            self._stream = BodyStream(self.transport.pause_reading, self.transport.resume_reading)
            self._stream.feed(bytes(self._body))
            self._begin(head, b"", self._stream)

    def _begin(self, head: RawHead, body: bytes, stream: BodyStream | None) -> None:
        if self._secure:
            head.scheme = b"https"
        self._hcm.prepare_request(head, self._info)
        request = make_request(
            head.method, head.scheme, head.authority, head.path, head.fields, self._start
        )
        request.data.content = body if stream is None else None
        flow = make_flow(self._client, self._server, request, "")
        info = StreamInfo(self._start, self._started, self._info)
        info.downstream_remote_address = self._remote_text
        info.downstream_peer_uri_san = self._peer_uri_san
        info.requested_server_name = self._server_name
        info.route_table = self._hcm.routes
        info.bytes_received = len(body)
        info.request_stream = stream
        info.request_chunked = head.length is None
        flow.metadata[METADATA_KEY] = info
        self._task = asyncio.Task(self._serve(flow, info, head), loop=self._loop, eager_start=True)
        if self._task.done():
            self._finished()
        else:
            self._task.add_done_callback(self._finished)

    def _finished(self, _task: object = None) -> None:
        """Look for the next request of the connection."""
        self._task = None
        if self.transport.is_closing():
            return
        if self._closing or self._head is not None:
            # A body that is still on its way when the answer is out cannot be told from a request.
            self.transport.close()
            return
        if not self.transport.is_reading():
            self.transport.resume_reading()
        if self._buffer:
            self.data_received(b"")

    async def _serve(self, flow: HTTPFlow, info: StreamInfo, head: RawHead) -> None:
        hcm = self._hcm
        addons = self._listener.master.addons
        try:
            if head.refusal:
                self._closing = True
                local_reply(flow, info, 400, b"", head.refusal)
            elif head.method == b"CONNECT":
                self._closing = True
                local_reply(flow, info, 404, b"", "route_not_found", "NR")
            elif head.path[:1] != b"/":
                local_reply(flow, info, 404, b"", "absolute_path_rejected")
            elif head.upgrade:
                self._closing = True
                info.upgrade = head.upgrade
                info.upgrade_allowed = head.upgrade.lower() in hcm.upgrades
            if flow.response is None:
                await addons.run_hook("request", flow)
            if flow.response is None:
                await hcm.run_request(flow)
            await hcm.run_response(flow)
            await addons.run_hook("response", flow)
            await self._respond(flow, info, head)
        except asyncio.CancelledError:
            if not self.transport.is_closing():
                raise
            info.flag("DC")
            info.details = "downstream_remote_disconnect"
        except UpstreamResetError as reset:
            info.flag(reset.flag)
            reason = reset.reason.replace(" ", "_")
            info.details = f"upstream_reset_after_response_started{{{reason}}}"
            self.transport.close()
        except Exception:
            logger.exception("request %s %s failed", flow.request.method, flow.request.path)
            info.details = "internal_error"
            self.transport.abort()
        finally:
            stream = info.response_stream
            if stream is not None and not stream.complete:
                info.upstream_connection.abort()
            if info.request_stream is not None:
                info.bytes_received = info.request_stream.size
            info.ended = self._loop.time()
            hcm.log(info, flow)

    async def _respond(self, flow: HTTPFlow, info: StreamInfo, head: RawHead) -> None:
        response = flow.response
        assert response is not None
        self._closing = self._closing or head.close
        stream: BodyStream | None = info.response_stream
        status = response.data.status_code
        tunnel = status == 101
        self._hcm.finish_response(flow, self._closing and not tunnel)
        info.response_code = status
        raw, info.bytes_sent, chunked = response_bytes(response, head.method, stream is not None)
        self.transport.write(raw)
        if tunnel:
            early, self._buffer = bytes(self._buffer), bytearray()
            tunnel_to = Tunnel(self.transport, info.upstream_connection, info)
            self._tunnel = tunnel_to.from_client
            await tunnel_to.run(early)
        elif stream is not None:
            async for piece in stream:
                info.bytes_sent += len(piece)
                self.transport.write(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)
                if self._writable is not None:
                    await self._writable
            if chunked:
                self.transport.write(b"0\r\n\r\n")
        elif self._writable is not None:
            await self._writable

    def _refuse(self, error: BadRequestError) -> None:
        """Answer a request that is not understood, and close: nothing behind it can be trusted."""
        self._closing = True
        if self._stream is not None:
            self._stream.fail(UpstreamResetError("downstream protocol error", "DPE"))
            self._head = None
        if self._task is not None:
            self.transport.abort()
            return
        info = StreamInfo(
            self._start or time.time(), self._started or self._loop.time(), self._info
        )
        info.ended = self._loop.time()
        info.downstream_remote_address = self._remote_text
        info.downstream_peer_uri_san = self._peer_uri_san
        info.requested_server_name = self._server_name
        info.response_code = error.status
        info.details = error.details
        info.bytes_sent = len(error.body)
        if error.flag:
            info.flag(error.flag)
        self.transport.write(refusal(error, self._hcm.date()))
        self._hcm.log(info, None)
        self.transport.close()

    def pause_writing(self) -> None:
        """Called by asyncio: the client reads too slowly."""
        self._writable = self._loop.create_future()

    def resume_writing(self) -> None:
        """Called by asyncio: there is room again."""
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)
        self._writable = None

    def connection_lost(self, error: Exception | None) -> None:
        """Called by asyncio: the client is gone."""
        self._client.state = ConnectionState.CLOSED
        self._client.timestamp_end = time.time()
        self._listener.connections.discard(self)
        self.closed.set()
        if self._stream is not None:
            self._stream.fail(UpstreamResetError("downstream disconnect", "DC"))
        if self._task is not None:
            self._task.cancel()
        self.resume_writing()
