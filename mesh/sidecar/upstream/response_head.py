"""Read the head of an upstream's answer: exact grammar, or the protocol error 502 UPE."""

from __future__ import annotations

import re
from dataclasses import dataclass

from mesh.sidecar.upstream.resets import protocol_error

_LINE = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]++:[ \t]*+[^\x00-\x08\x0a-\x1f\x7f]*+\r\n"
_HEAD = re.compile(
    rb"HTTP/1\.([01]) ([1-5][0-9][0-9])(?: ([^\x00-\x08\x0a-\x1f\x7f]*+))?\r\n((?:"
    + _LINE
    + rb")*+)\r\n"
)
_FIELD = re.compile(rb"([^:]++):[ \t]*+([^\r]*+)\r\n")
_LENGTH = re.compile(rb"[0-9]{1,18}")
_HOP = frozenset((b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding"))


@dataclass(slots=True)
class ResponseHead:
    """Names are lower case, hop-by-hop headers are out; ``length`` is None when not said."""

    status: int
    reason: bytes
    fields: list[tuple[bytes, bytes]]
    length: int | None
    chunked: bool
    close: bool


def read_response_head(raw: bytes) -> ResponseHead:
    """Parse ``raw``, which ends with the empty line; raises UpstreamResetError."""
    match = _HEAD.fullmatch(raw)
    if match is None:
        raise protocol_error()
    minor, code, reason, block = match.groups()
    fields: list[tuple[bytes, bytes]] = []
    length: int | None = None
    chunked = False
    connection = b""
    for name, value in _FIELD.findall(block):
        name = name.lower()
        value = value.rstrip(b" \t")
        if name == b"content-length":
            if not _LENGTH.fullmatch(value) or length not in (None, int(value)):
                raise protocol_error()
            if length is None:
                fields.append((name, value))
            length = int(value)
        elif name not in _HOP:
            fields.append((name, value))
        elif name == b"transfer-encoding":
            if chunked or value.lower() != b"chunked":
                raise protocol_error()
            chunked = True
        elif name == b"connection":
            connection += value.lower()
    if chunked and length is not None:
        raise protocol_error()
    close = b"close" in connection or (minor == b"0" and b"keep-alive" not in connection)
    return ResponseHead(int(code), reason or b"", fields, length, chunked, close)
