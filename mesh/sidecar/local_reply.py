"""Local replies: the answers that a sidecar gives itself, exactly as Envoy words them.

Three different mistakes of a mesh have three signatures: 404 ``NR`` (no route), 503 ``NC`` (no such
cluster), 503 ``UH`` (no healthy upstream).  Source: Envoy ``source/common/http/utility.cc``.
"""

from __future__ import annotations

from http import HTTPStatus

from mitmproxy.http import HTTPFlow

from mesh.sidecar.mitm.flow import make_response
from mesh.sidecar.mitm.http1 import BadRequestError
from mesh.sidecar.stream_info import StreamInfo

REASONS: dict[int, bytes] = {status.value: status.phrase.encode() for status in HTTPStatus}
# Envoy's own spelling where Python's differs (source/common/http/codes.cc).
REASONS.update({413: b"Payload Too Large", 414: b"URI Too Long", 422: b"Unprocessable Entity"})


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
) -> None:
    """Set ``flow.response``; ``details`` and ``flag`` go to the access log."""
    fields: list[tuple[bytes, bytes]] = [] if extra is None else list(extra)
    fields.append((b"content-length", b"%d" % len(body)))
    if body and all(name != b"content-type" for name, _ in fields):
        fields.append((b"content-type", b"text/plain"))
    info.details = details
    if flag:
        info.flag(flag)
    flow.response = make_response(status, REASONS.get(status, b"Unknown"), fields, body)
