"""tls_inspector: whether a client speaks TLS, for which name, with which protocols inside.

A TLS client says first, in clear text, which host it means (SNI) and what it can speak (ALPN).
So one port can serve plaintext and mTLS (PeerAuthentication PERMISSIVE), and a gateway can pass a
connection through by its name without opening it (Gateway ``tls.mode: PASSTHROUGH``).
See it in ``requested_server_name`` of ``meshctl logs POD``.

Source: RFC 8446 4.1.2, RFC 6066 3, RFC 7301; Envoy ``source/extensions/filters/listener/tls_inspector``.
"""

from __future__ import annotations

from mesh.sidecar.listener_filters.facts import TLS, Inspection

MAX_HELLO = 16 * 1024
_HANDSHAKE = 22
_CLIENT_HELLO = 1
_SERVER_NAME, _ALPN = 0, 16


class _ShortError(Exception):
    """The bytes end before the message does."""


class _Cursor:
    """Reads numbers and length-prefixed pieces of a message."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def take(self, size: int) -> bytes:
        end = self.at + size
        if end > len(self.data):
            raise _ShortError
        piece = self.data[self.at : end]
        self.at = end
        return piece

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size))

    def piece(self, size: int) -> bytes:
        return self.take(self.number(size))

    @property
    def more(self) -> bool:
        return self.at < len(self.data)


def _handshake_bytes(data: bytes) -> bytes | None:
    """Join the handshake records of ``data`` up to a whole message; None when it is not TLS."""
    joined = b""
    while data and not (len(joined) >= 4 and len(joined) >= 4 + int.from_bytes(joined[1:4])):
        if data[0] != _HANDSHAKE or (len(data) > 1 and data[1] != 3):
            return None
        if len(data) < 5:
            break
        size = int.from_bytes(data[3:5])
        if size > MAX_HELLO:
            return None
        joined += data[5 : 5 + size]
        data = data[5 + size :]
    return joined


def _extensions(body: bytes) -> dict[int, bytes]:
    cursor = _Cursor(body)
    cursor.take(2 + 32)
    cursor.piece(1)  # session id
    cursor.piece(2)  # cipher suites
    cursor.piece(1)  # compression methods
    found: dict[int, bytes] = {}
    if cursor.more:
        block = _Cursor(cursor.piece(2))
        while block.more:
            kind = block.number(2)
            found[kind] = block.piece(2)
    return found


def _server_name(extension: bytes) -> str:
    names = _Cursor(_Cursor(extension).piece(2))
    while names.more:
        kind, name = names.number(1), names.piece(2)
        if kind == 0:
            return name.decode("latin-1").lower()
    return ""


def _protocols(extension: bytes) -> tuple[str, ...]:
    names = _Cursor(_Cursor(extension).piece(2))
    found = []
    while names.more:
        found.append(names.piece(1).decode("latin-1"))
    return tuple(found)


def inspect(data: bytes, facts: Inspection) -> bool:
    """Look for a ClientHello at the start of ``data``; True when ``facts`` are complete."""
    if not data:
        return False
    joined = _handshake_bytes(data)
    if joined is None or (joined and joined[0] != _CLIENT_HELLO):
        return True
    if len(joined) < 4 or len(joined) < 4 + int.from_bytes(joined[1:4]):
        return len(data) > MAX_HELLO
    try:
        found = _extensions(joined[4 : 4 + int.from_bytes(joined[1:4])])
        name = _server_name(found[_SERVER_NAME]) if _SERVER_NAME in found else ""
        protocols = _protocols(found[_ALPN]) if _ALPN in found else ()
    except _ShortError:
        return True  # no TLS library would take it
    facts.transport_protocol = TLS
    facts.server_name = name
    facts.application_protocols = protocols
    return True
