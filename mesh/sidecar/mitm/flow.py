"""Build mitmproxy's ``HTTPFlow``, ``Request`` and ``Response`` without the cost of checking them.

``MessageData.__post_init__`` checks the type of every field of every message, which is half of
a sidecar's CPU.  Our own parser has already made bytes, so the objects are filled directly.
The tests compare them with what the constructors build.
"""

from __future__ import annotations

import time
from random import Random

from mitmproxy.connection import Client, Server
from mitmproxy.http import Headers, HTTPFlow, Request, RequestData, Response, ResponseData

Fields = list[tuple[bytes, bytes]]


def make_headers(fields: Fields) -> Headers:
    """Make ``Headers`` of (lower-case name, value) pairs."""
    headers = Headers.__new__(Headers)
    headers.fields = tuple(fields)
    return headers


def make_request(
    method: bytes, scheme: bytes, authority: bytes, path: bytes, fields: Fields, start: float
) -> Request:
    """Make a Request in origin form; the caller sets ``host`` and ``port`` if it needs them."""
    data = RequestData.__new__(RequestData)
    data.__dict__ = {
        "http_version": b"HTTP/1.1",
        "headers": make_headers(fields),
        "content": b"",
        "trailers": None,
        "timestamp_start": start,
        "timestamp_end": None,
        "host": "",
        "port": 0,
        "method": method,
        "scheme": scheme,
        "authority": authority,
        "path": path,
    }
    request = Request.__new__(Request)
    request.data = data
    return request


def make_response(status: int, reason: bytes, fields: Fields, content: bytes | None) -> Response:
    """Make a Response; ``content`` None means that the body is streamed."""
    data = ResponseData.__new__(ResponseData)
    data.__dict__ = {
        "http_version": b"HTTP/1.1",
        "headers": make_headers(fields),
        "content": content,
        "trailers": None,
        "timestamp_start": time.time(),
        "timestamp_end": None,
        "status_code": status,
        "reason": reason,
    }
    response = Response.__new__(Response)
    response.data = data
    return response


def make_flow(client: Client, server: Server, request: Request, flow_id: str) -> HTTPFlow:
    """Make a live HTTPFlow for ``request``."""
    flow = HTTPFlow.__new__(HTTPFlow)
    flow.__dict__ = {
        "id": flow_id,
        "client_conn": client,
        "server_conn": server,
        "live": True,
        "timestamp_created": request.data.timestamp_start,
        "intercepted": False,
        "_resume_event": None,
        "_backup": None,
        "marked": "",
        "is_replay": None,
        "metadata": {},
        "comment": "",
        "request": request,
    }
    return flow


def random_uuid(rng: Random) -> str:
    """Draw a version 4 UUID, as Envoy's x-request-id."""
    text = f"{rng.getrandbits(128):032x}"
    return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-{'89ab'[int(text[16], 16) & 3]}{text[17:20]}-{text[20:]}"
