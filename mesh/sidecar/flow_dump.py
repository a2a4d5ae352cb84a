"""Flow dump: what a sidecar served, as mitmproxy's own flows, for who wants to look at them.

``GET /flows`` of the admin port streams every request from now on in the format of mitmproxy's files:
``curl -N http://127.0.0.1:ADMIN/flows > x.mitm``, then ``mitmweb -r x.mitm``.  The console opens
mitmproxy's flow view on it.  A request is shown as it left the sidecar (rewritten, with the headers
that filters added), a body only where it came in one piece, up to 1 MiB; the comment says where it
went.  Nobody looking: no cost, since the addon is only there while somebody reads.
Real Envoy sidecars have no such thing; the nearest is the tap filter.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from mitmproxy.connection import Client, ConnectionState, Server
from mitmproxy.flow import Error
from mitmproxy.http import Headers, HTTPFlow, Request, Response

from mesh.sidecar.mitm.master import SidecarMaster
from mesh.sidecar.stream_info import ConnectionInfo, StreamInfo, stream_info

WAITING = 1_000
"""Flows that wait for a slow reader; further ones are left out."""
LONGEST = 1 << 20
"""Bytes of a body that are shown."""


class FlowDump:
    """The addon; one for a sidecar, put in only while somebody reads."""

    def __init__(self, master: SidecarMaster) -> None:
        self._master = master
        self._readers: set[asyncio.Queue[bytes]] = set()

    @contextmanager
    def reader(self) -> Iterator[asyncio.Queue[bytes]]:
        """Give every flow from now on, serialized, while the block runs."""
        waiting: asyncio.Queue[bytes] = asyncio.Queue(WAITING)
        if not self._readers:
            self._master.addons.add(self)  # type: ignore[no-untyped-call]
        self._readers.add(waiting)
        try:
            yield waiting
        finally:
            self._readers.discard(waiting)
            if not self._readers:
                self._master.addons.remove(self)

    def response(self, flow: HTTPFlow) -> None:
        """Take a flow that is answered."""
        self._write(whole(flow, stream_info(flow)))

    def error(self, flow: HTTPFlow) -> None:
        """Take a flow that ends without an answer."""
        info = stream_info(flow)
        made = whole(flow, info)
        made.error = Error(f"no answer: {info.details}")
        self._write(made)

    def _write(self, flow: HTTPFlow) -> None:
        # mitmproxy.io brings a parser for filter expressions along: only who looks pays for it.
        from mitmproxy.io import tnetstring

        data = tnetstring.dumps(flow.get_state())
        for each in self._readers:
            if not each.full():
                each.put_nowait(data)


def whole(flow: HTTPFlow, info: StreamInfo) -> HTTPFlow:
    """Return a flow with everything that mitmproxy's tools expect; the sidecar's own is leaner."""
    made = HTTPFlow(_client(info.connection, info.start), _server(info))
    data = flow.request.data
    authority = data.authority.decode("latin-1")
    host, colon, port = authority.rpartition(":")
    if not (colon and port.isdecimal()):
        host, port = authority, "443" if data.scheme == b"https" else "80"
    made.request = Request(
        host=host,
        port=int(port),
        method=data.method,
        scheme=data.scheme,
        authority=b"",
        path=data.path,
        http_version=info.protocol.encode(),
        headers=Headers([(b"host", data.authority), *data.headers.fields]),
        content=_shown(data.content),
        trailers=None,
        timestamp_start=info.start,
        timestamp_end=info.start,
    )
    if flow.response is not None:
        answer = flow.response.data
        complete = info.response_stream is None
        made.response = Response(
            http_version=answer.http_version,
            status_code=answer.status_code,
            reason=answer.reason,
            headers=Headers(answer.headers.fields),
            content=_shown(answer.content) if complete else None,
            trailers=None,
            timestamp_start=answer.timestamp_start,
            timestamp_end=answer.timestamp_start,
        )
    said = {
        "route": info.route_name,
        "cluster": info.cluster,
        "endpoint": info.upstream_host,
        "details": info.details,
        "flags": ",".join(info.flags),
    }
    made.comment = ", ".join(f"{name} {value}" for name, value in said.items() if value)
    return made


def _shown(content: bytes | None) -> bytes | None:
    return content if content is not None and len(content) <= LONGEST else None


def _client(connection: ConnectionInfo, start: float) -> Client:
    made = Client(
        peername=connection.remote,
        sockname=connection.local,
        timestamp_start=start,
        state=ConnectionState.OPEN,
    )
    if connection.tls is not None:
        made.tls = True
        made.timestamp_tls_setup = start
        made.sni = connection.tls.server_name or None
        version: Any = connection.tls.version
        made.tls_version = version
        made.alpn = connection.tls.alpn.encode()
    return made


def _server(info: StreamInfo) -> Server:
    host, colon, port = info.upstream_host.rpartition(":")
    if not (colon and port.isdecimal()):
        return Server(address=None)
    return Server(address=(host, int(port)), timestamp_start=info.start)
