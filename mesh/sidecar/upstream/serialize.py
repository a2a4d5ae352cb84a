"""Serialize: the request of one attempt, with the headers that each attempt renews.

Source: Envoy ``source/common/router/router.cc`` (setTimeoutHeaders, attempt count).
"""

from __future__ import annotations

from mitmproxy.http import HTTPFlow

from mesh.sidecar.filters.routing import CompiledRoute
from mesh.sidecar.stream_info import StreamInfo
from mesh.sidecar.upstream.message import UpstreamRequest
from mesh.sidecar.upstream.send import Plan

_COUNT = b"x-envoy-attempt-count"


def serialize(
    flow: HTTPFlow,
    info: StreamInfo,
    route: CompiledRoute,
    plan: Plan,
    attempt: int,
    elapsed: float,
    envoy_headers: bool,
    copied: bytes | None = None,
) -> UpstreamRequest:
    """Make the request of one attempt: the ``attempt``-th, ``elapsed`` seconds after the first.

    ``copied`` is the body of a mirrored copy.
    """
    data = flow.request.data
    stream = info.request_stream
    body = copied
    if body is None:
        body = b"" if stream is not None else data.content or b""
    fields = list(data.headers.fields)
    has_length = False
    for place, (name, value) in enumerate(fields):
        if name == b"content-length":
            has_length = True
            if stream is None and int(value) != len(body):  # a filter has changed the body
                fields[place] = (name, b"%d" % len(body))
    if envoy_headers:
        expected = plan.times.expected_ms(elapsed)
        if expected is not None:
            fields.append((b"x-envoy-expected-rq-timeout-ms", b"%d" % expected))
    if route.include_request_attempt_count:
        if any(name == _COUNT for name, _ in fields):
            fields = [item for item in fields if item[0] != _COUNT]
        fields.append((_COUNT, b"%d" % attempt))
    trailers = data.trailers
    return UpstreamRequest(
        data.method,
        data.scheme,
        data.authority,
        data.path,
        fields,
        body,
        stream,
        not has_length and (stream is not None or info.request_chunked or bool(body)),
        info.upgrade,
        info.upgrade_connection,
        list(trailers.fields) if trailers is not None else [],
    )
