r"""Read HTTP/1.1 from a client: exact grammar or refusal.

Two parsers that understand one message differently are how requests are smuggled past a policy,
so a head is accepted only when one regular expression describes all of it: lines end in CRLF, no
folded lines, no space before a colon, one framing.  Whatever else arrives gets Envoy's answer,
400 and a closed connection.  Possessive quantifiers (``*+``) keep the time linear.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

MAX_HEAD_KB = 60
"""Envoy's default max_request_headers_kb."""

MAX_HEAD = MAX_HEAD_KB * 1024
"""The same of an answer, in bytes."""

MAX_HEADERS = 100
"""Envoy's default max_headers_count."""

_METHODS = (
    b"GET|HEAD|POST|PUT|DELETE|CONNECT|OPTIONS|TRACE|PATCH|COPY|LOCK|MKCOL|MOVE|PROPFIND|PROPPATCH|"
    b"SEARCH|UNLOCK|BIND|REBIND|UNBIND|ACL|REPORT|MKACTIVITY|CHECKOUT|MERGE|M-SEARCH|NOTIFY|"
    b"SUBSCRIBE|UNSUBSCRIBE|PURGE|MKCALENDAR|LINK|UNLINK"
)
_LINE = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]++:[ \t]*+[^\x00-\x08\x0a-\x1f\x7f]*+\r\n"
_HEAD = re.compile(
    rb"(" + _METHODS + rb") ([\x21-\x7e]++) HTTP/1\.([01])\r\n((?:" + _LINE + rb")*+)\r\n"
)
_FIELD = re.compile(rb"([^:]++):[ \t]*+([^\r]*+)\r\n")
_LENGTH = re.compile(rb"[0-9]{1,18}")
_ABSOLUTE = re.compile(rb"([A-Za-z][A-Za-z0-9+.-]*+)://([^/?#]*+)(.*+)")
_TRAILER = re.compile(_LINE)
_CONTROL = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_METHOD = re.compile(rb"(?:" + _METHODS + rb")[ \t]")
_OLD_LINE = re.compile(rb"[A-Z-]+[ \t]+[\x21-\x7e]+(?: HTTP/(?!1\.1)[0-9]\.[0-9])?\r\n")
_AUTHORITY = re.compile(rb"[!$%&'()*+,\-.0-9:;=@A-Z\[\]_a-z~]*")
_HOST_PORT = re.compile(rb"(?:\[[0-9A-Fa-f:.]+\]|[^\[\]:@/]+)(?::[0-9]{1,5})?")
_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,12})(?:;[\x09\x20-\x7e\x80-\xff]*+)?\r\n")


class BadRequestError(Exception):
    """The client sent what must not be passed on; carries Envoy's answer."""

    def __init__(
        self,
        details: str = "http1.codec_error",
        status: int = 400,
        body: bytes = b"Bad Request",
        flag: str = "DPE",
    ) -> None:
        super().__init__(details)
        self.details = details
        self.status = status
        self.body = body
        self.flag = flag


@dataclass(slots=True)
class RawHead:
    """A request head as read; names are lower case; ``length`` is None for a chunked body.

    ``connection`` is the header's value of a request that wants to ``upgrade``.
    ``refusal`` is set for a head that is well formed and yet answered with an empty 400.
    """

    method: bytes
    scheme: bytes
    authority: bytes
    path: bytes
    fields: list[tuple[bytes, bytes]]
    length: int | None
    close: bool
    upgrade: bytes
    expect_continue: bool
    refusal: str = ""
    connection: bytes = b""


_HOP = frozenset(
    (b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade", b"host")
)
_SPECIAL = _HOP | {b"content-length", b"expect", b"http2-settings", b"te"}


def bad_head(raw: bytes) -> BadRequestError:
    """Return Envoy's answer to a head that breaks the grammar."""
    if not _METHOD.match(raw):
        return BadRequestError()
    if _CONTROL.search(raw):
        return BadRequestError("http1.invalid_characters")
    if _OLD_LINE.match(raw):
        return BadRequestError("low_version", 426, b"Upgrade Required")
    return BadRequestError()


def read_head(raw: bytes, max_headers: int = MAX_HEADERS) -> RawHead:
    """Parse ``raw``, a request head that ends with the empty line.

    Hop-by-hop headers are taken out, the names become lower case (as Envoy sends them on), and
    an absolute target decides over the Host header.  Raises BadRequestError with Envoy's answer.
    """
    match = _HEAD.fullmatch(raw)
    if match is None:
        raise bad_head(raw)
    method, target, minor, block = match.groups()
    fields: list[tuple[bytes, bytes]] = []
    authority = upgrade = connection = said = b""
    hosts = 0
    length: int | None = 0
    lengths = codings = 0
    expect = False
    lines = _FIELD.findall(block)
    for name, value in lines:
        name = name.lower()
        value = value.rstrip(b" \t")
        if name not in _SPECIAL:
            fields.append((name, value))
        elif name == b"host":
            authority = value if not hosts else authority + b"," + value
            hosts += 1
        elif name == b"content-length":
            if lengths or not _LENGTH.fullmatch(value):
                raise BadRequestError
            lengths, length = 1, int(value)
            fields.append((name, value))
        elif name == b"transfer-encoding":
            if codings or value.lower() != b"chunked":
                raise BadRequestError("http1.invalid_transfer_encoding", 501, b"Not Implemented")
            codings, length = 1, None
        elif name == b"connection":
            connection += b"," + value.lower()
            said = value
        elif name == b"proxy-connection":
            connection += b",close" if value.lower() == b"close" else b""
        elif name == b"upgrade":
            upgrade = b"" if value.lower() == b"h2c" else value
        elif name == b"expect":
            expect = value.lower() == b"100-continue"
            if not expect:
                fields.append((name, value))
        elif name == b"te" and b"trailers" in value.lower():
            fields.append((name, b"trailers"))
    if len(lines) > max_headers:
        raise BadRequestError("http1.too_many_headers", 431, b"Request Header Fields Too Large")
    if lengths and codings:
        raise BadRequestError("http1.content_length_and_chunked_not_allowed")
    if minor == b"0":
        raise BadRequestError("low_version", 426, b"Upgrade Required")
    refusal = ""
    close = False
    if connection:
        tokens = {token.strip(b" \t") for token in connection.split(b",")}
        close = b"close" in tokens
        if b"upgrade" not in tokens:
            upgrade = b""
        if b"host" in tokens:
            hosts, authority = 0, b""
        named = tokens - {b"", b"close", b"keep-alive", b"upgrade", b"te", b"content-length"}
        if named:
            fields = [item for item in fields if item[0] not in named]
    else:
        upgrade = b""
    scheme, path = b"http", target
    if method == b"CONNECT":
        if not _HOST_PORT.fullmatch(target):
            raise BadRequestError("http1.invalid_url")
        if lengths or codings:
            raise BadRequestError("http1.body_disallowed")
        authority, path = target, b""
    elif not target.startswith(b"/"):
        absolute = _absolute(target)
        if absolute is not None:
            scheme, authority, path = absolute
        elif target[:1] != b"*":
            raise BadRequestError
        elif target != b"*" or method != b"OPTIONS":
            raise BadRequestError("http1.invalid_url")
    if not _AUTHORITY.fullmatch(authority):
        raise BadRequestError("http.invalid_authority")
    if hosts == 0 and not authority:
        refusal = "missing_host_header"
    elif b"#" in path:
        refusal = "path_normalization_failed"
    if not upgrade:
        said = b""
    return RawHead(
        method, scheme, authority, path, fields, length, close, upgrade, expect, refusal, said
    )


def _absolute(target: bytes) -> tuple[bytes, bytes, bytes] | None:
    """Split an absolute target into scheme, authority (without user) and path; None for another.

    Raises BadRequestError for a scheme or host that Envoy refuses.
    """
    found = _ABSOLUTE.fullmatch(target)
    if found is None:
        return None
    scheme, authority, path = found.groups()
    authority = authority.rpartition(b"@")[2]
    if scheme.lower() not in (b"http", b"https"):
        raise BadRequestError("http1.invalid_scheme")
    if not _HOST_PORT.fullmatch(authority):
        raise BadRequestError("http1.invalid_url")
    return scheme.lower(), authority, path or b"/"


class ChunkedReader:
    """Decode ``Transfer-Encoding: chunked`` piece by piece."""

    def __init__(self) -> None:
        self._left = 0
        self._state = "size"
        self.decoded = b""
        self.done = False

    def feed(self, buffer: bytearray) -> bytes:
        """Take what is complete out of ``buffer`` and return the decoded bytes.

        ``done`` becomes true after the last chunk; bytes behind it stay in ``buffer``.
        Raises BadRequestError on bad framing; ``decoded`` is what came before the mistake.
        """
        out = bytearray()
        try:
            self._feed(buffer, out)
        except BadRequestError:
            self.decoded = bytes(out)
            raise
        return bytes(out)

    def _feed(self, buffer: bytearray, out: bytearray) -> None:
        while not self.done:
            if self._state == "data":
                take = min(self._left, len(buffer))
                out += buffer[:take]
                del buffer[:take]
                self._left -= take
                if self._left:
                    break
                self._state = "data-end"
            end = buffer.find(b"\r\n")
            if end < 0:
                if len(buffer) > 8192 or b"\n" in buffer:
                    raise BadRequestError
                break
            line = bytes(buffer[: end + 2])
            if self._state == "data-end":
                if end != 0:
                    raise BadRequestError
                del buffer[:2]
                self._state = "size"
            elif self._state == "size":
                match = _CHUNK.fullmatch(line)
                if match is None:
                    raise BadRequestError
                del buffer[: end + 2]
                self._left = int(match[1], 16)
                self._state = "data" if self._left else "trailers"
            else:
                if end and not _TRAILER.fullmatch(line):
                    raise BadRequestError(
                        "http1.invalid_characters" if _CONTROL.search(line) else "http1.codec_error"
                    )
                del buffer[: end + 2]
                self.done = end == 0
