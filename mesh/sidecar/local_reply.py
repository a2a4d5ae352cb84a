"""Local replies: the answers that a sidecar gives itself, exactly as Envoy words them.

Three different mistakes of a mesh have three signatures: 404 ``NR`` (no route), 503 ``NC`` (no such
cluster), 503 ``UH`` (no healthy upstream).  To a gRPC client the status goes in gRPC's own words:
HTTP 200, ``grpc-status`` and ``grpc-message``, else its library could not tell what happened.

Source: Envoy ``source/common/http/utility.cc``, ``source/common/grpc/status.cc``.
"""

from __future__ import annotations

from http import HTTPStatus
from urllib.parse import quote_from_bytes

from mitmproxy.http import HTTPFlow

from mesh.sidecar.mitm.flow import make_response
from mesh.sidecar.mitm.http1 import BadRequestError
from mesh.sidecar.stream_info import StreamInfo

REASONS: dict[int, bytes] = {status.value: status.phrase.encode() for status in HTTPStatus}
# Envoy's own spelling where Python's differs (source/common/http/codes.cc).
REASONS.update({413: b"Payload Too Large", 414: b"URI Too Long", 422: b"Unprocessable Entity"})


_GRPC = {400: 13, 401: 16, 403: 7, 404: 12, 429: 14, 502: 14, 503: 14, 504: 14}
"""HTTP status -> gRPC status; any other is 2 (unknown)."""
_PLAIN = bytes(range(0x20, 0x7F)).decode().replace("%", "")


def is_grpc(flow: HTTPFlow) -> bool:
    """Tell whether the request is a gRPC call."""
    for name, value in flow.request.data.headers.fields:
        if name == b"content-type":
            return value == b"application/grpc" or value.startswith(b"application/grpc+")
    return False


def refusal(error: BadRequestError, date: bytes, server: bytes) -> bytes:
    """Return the whole answer to a request that was not understood; the connection closes."""
    text = b"content-type: text/plain\r\n" if error.body else b""
    name = b"server: %b\r\n" % server if server else b""
    return (
        b"HTTP/1.1 %d %b\r\ncontent-length: %d\r\n%bdate: %b\r\n%bconnection: close\r\n\r\n%b"
        % (error.status, REASONS[error.status], len(error.body), text, date, name, error.body)
    )


def local_reply(
    flow: HTTPFlow,
    info: StreamInfo,
    status: int,
    body: bytes = b"",
    details: str = "",
    flag: str = "",
    extra: list[tuple[bytes, bytes]] | None = None,
    grpc_status: int | None = None,
) -> None:
    """Set ``flow.response``; ``details`` and ``flag`` go to the access log.

    ``grpc_status`` is for gRPC clients, in place of what the status translates to.
    """
    if is_grpc(flow):
        code = _GRPC.get(status, 2) if grpc_status is None else grpc_status
        words = [] if extra is None else list(extra)
        words += [(b"content-type", b"application/grpc"), (b"grpc-status", b"%d" % code)]
        if body:
            words.append((b"grpc-message", quote_from_bytes(body, safe=_PLAIN).encode()))
        status, body, extra = 200, b"", words
    fields: list[tuple[bytes, bytes]] = [] if extra is None else list(extra)
    info.headers_only = not body  # HTTP/1.1 says content-length: 0 then, HTTP/2 nothing
    if body:
        fields.append((b"content-length", b"%d" % len(body)))
    if body and all(name != b"content-type" for name, _ in fields):
        fields.append((b"content-type", b"text/plain"))
    info.details = details
    if flag:
        info.flag(flag)
    flow.response = make_response(status, REASONS.get(status, b"Unknown"), fields, body)
