"""Read the head of an upstream's answer: exact grammar, or the protocol error 502 UPE."""

from __future__ import annotations

import re
from dataclasses import dataclass

from mesh.sidecar.mitm.http1 import MAX_HEADERS
from mesh.sidecar.upstream.resets import protocol_error

_LINE = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]++:[ \t]*+[^\x00-\x08\x0a-\x1f\x7f]*+\r\n"
_HEAD = re.compile(
    rb"HTTP/1\.([01]) ([1-9][0-9][0-9])(?: ([^\x00-\x08\x0a-\x1f\x7f]*+))?\r\n((?:"
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
    chunked = upgrade = False
    connection = b""
    lines = _FIELD.findall(block)
    for name, value in lines:
        name = name.lower()
        value = value.rstrip(b" \t")
        if name == b"content-length":
            if length is not None or not _LENGTH.fullmatch(value):
                raise protocol_error()
            length = int(value)
            if code != b"204":
                fields.append((name, value))
        elif name not in _HOP:
            fields.append((name, value))
            upgrade = upgrade or name == b"upgrade"
        elif name == b"transfer-encoding":
            if chunked or value.lower() != b"chunked":
                raise protocol_error()
            chunked = True
        elif name == b"connection":
            connection += value.lower()
    if (chunked and length is not None) or len(lines) > MAX_HEADERS:
        raise protocol_error()
    if code == b"204" and (chunked or length):
        raise protocol_error()
    if code != b"101" and upgrade:
        fields = [item for item in fields if item[0] != b"upgrade"]
    close = b"close" in connection or (minor == b"0" and b"keep-alive" not in connection)
    return ResponseHead(int(code), reason or b"", fields, length, chunked, close)
