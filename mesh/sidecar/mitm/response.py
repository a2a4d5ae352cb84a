"""Write an answer: its head and, when it is not streamed, its body, as one piece of bytes."""

from __future__ import annotations

from mitmproxy.http import Response


def response_bytes(response: Response, method: bytes, streamed: bool) -> tuple[bytes, int, bool]:
    """Return the bytes, how many of them are body, and whether a streamed body is chunked.

    An answer without a length is chunked; one to HEAD, and 101, 204 and 304, have no body.
    """
    data = response.data
    status = data.status_code
    body = data.content or b""
    bodiless = method == b"HEAD" or status in (101, 204, 304)
    parts = [b"HTTP/1.1 %d %b\r\n" % (status, data.reason)]
    has_length = False
    for name, value in data.headers.fields:
        if name.lower() == b"content-length":
            has_length = True
            if not streamed and not bodiless:
                value = b"%d" % len(body)  # a filter may have changed the body
        parts.append(b"%b: %b\r\n" % (name, value))
    chunked = not has_length and not bodiless
    if chunked:
        parts.append(b"transfer-encoding: chunked\r\n")
    parts.append(b"\r\n")
    if bodiless:
        body = b""
    size = len(body)
    if chunked and not streamed:
        body = b"%x\r\n%b\r\n0\r\n\r\n" % (size, body) if body else b"0\r\n\r\n"
    parts.append(body)
    return b"".join(parts), size, chunked
