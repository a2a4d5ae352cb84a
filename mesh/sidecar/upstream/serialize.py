"""Serialize: a request as the bytes that go upstream, with the headers that each attempt renews.

Source: Envoy ``source/common/router/router.cc`` (setTimeoutHeaders, attempt count).
"""

from __future__ import annotations

from mitmproxy.http import HTTPFlow

from mesh.sidecar.filters.routing import CompiledRoute
from mesh.sidecar.stream_info import StreamInfo
from mesh.sidecar.upstream.attempt import UpstreamRequest
from mesh.sidecar.upstream.send import Plan

_WITHOUT_BODY = frozenset((b"GET", b"HEAD", b"DELETE", b"TRACE", b"CONNECT"))
"""A request of any other method says ``content-length: 0`` when it has no body."""


def serialize(
    flow: HTTPFlow,
    info: StreamInfo,
    route: CompiledRoute,
    plan: Plan,
    attempt: int,
    elapsed: float,
    envoy_headers: bool,
) -> UpstreamRequest:
    """Make the bytes of one attempt: the ``attempt``-th, ``elapsed`` seconds after the first."""
    data = flow.request.data
    parts = [b"%b %b HTTP/1.1\r\nhost: %b\r\n" % (data.method, data.path, data.authority)]
    body = data.content or b""
    stream = info.request_stream
    has_length = False
    for name, value in data.headers.fields:
        if name == b"content-length":
            has_length = True
            if stream is None:
                value = b"%d" % len(body)  # a filter may have changed the body
        parts.append(b"%b: %b\r\n" % (name, value))
    chunked = not has_length and (stream is not None or info.request_chunked or bool(body))
    if chunked and stream is None:
        body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body) if body else b"0\r\n\r\n"
    if envoy_headers:
        expected = plan.times.expected_ms(elapsed)
        if expected is not None:
            parts.append(b"x-envoy-expected-rq-timeout-ms: %d\r\n" % expected)
    if route.include_request_attempt_count:
        parts.append(b"x-envoy-attempt-count: %d\r\n" % attempt)
    if chunked:
        parts.append(b"transfer-encoding: chunked\r\n")
    elif not has_length and data.method not in _WITHOUT_BODY:
        parts.append(b"content-length: 0\r\n")
    if info.upgrade:
        parts.append(b"connection: upgrade\r\nupgrade: %b\r\n" % info.upgrade)
    parts.append(b"\r\n")
    return UpstreamRequest(data.method, b"".join(parts), body, stream, chunked, bool(info.upgrade))
