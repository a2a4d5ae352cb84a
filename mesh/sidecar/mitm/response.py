"""Write an answer in HTTP/1.1: its head alone, or with its whole body as one piece of bytes."""

from __future__ import annotations

from mitmproxy.http import Response


def head_bytes(response: Response, method: bytes) -> tuple[bytes, bool]:
    """Return the head of a streamed answer, and whether its body is to be chunked.

    An answer without a length is chunked, also (in word only) one to HEAD; 101, 204, 304 and
    the answer to CONNECT have no body.
    """
    data = response.data
    status = data.status_code
    parts = [b"HTTP/1.1 %d %b\r\n" % (status, data.reason)]
    has_length = False
    for name, value in data.headers.fields:
        has_length = has_length or name == b"content-length"
        parts.append(b"%b: %b\r\n" % (name, value))
    chunked = not (has_length or method == b"CONNECT" or status in (101, 204, 304))
    parts.append(b"transfer-encoding: chunked\r\n\r\n" if chunked else b"\r\n")
    return b"".join(parts), chunked


def whole_bytes(response: Response, method: bytes) -> tuple[bytes, int]:
    """Return head and body, and how many bytes are body."""
    data = response.data
    status = data.status_code
    body = data.content or b""
    never = status in (101, 204, 304)
    bodiless = never or method == b"HEAD"
    parts = [b"HTTP/1.1 %d %b\r\n" % (status, data.reason)]
    has_length = False
    for name, value in data.headers.fields:
        if name.lower() == b"content-length":
            has_length = True
            if not bodiless:
                value = b"%d" % len(body)  # a filter may have changed the body
        parts.append(b"%b: %b\r\n" % (name, value))
    if bodiless:
        body = b""
    size = len(body)
    if not has_length and not never:
        parts.append(b"transfer-encoding: chunked\r\n\r\n")
        if not bodiless:
            body = b"%x\r\n%b\r\n0\r\n\r\n" % (size, body) if body else b"0\r\n\r\n"
    else:
        parts.append(b"\r\n")
    parts.append(body)
    return b"".join(parts), size
