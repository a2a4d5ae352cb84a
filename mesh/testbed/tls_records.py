"""TLS records: what somebody on the wire can say about bytes that he cannot read.

TLS packs everything into records: a type, a version, a length, and then mostly what only the two ends
can read.  The greeting is in clear text: the name of the server (SNI) and the protocols inside (ALPN), in
TLS 1.2 the certificates too.  Bytes that are no records are shown as the text that they are.
Source: RFC 8446 5.1 and 4, RFC 5246 7.4.
"""

from __future__ import annotations

from dataclasses import dataclass

from mesh.sidecar.listener_filters import tls_inspector
from mesh.sidecar.listener_filters.facts import Inspection

PLAIN, TLS = "plain text", "TLS"
_HEAD = 5
_CHANGE_CIPHER, _ALERT, _HANDSHAKE, _DATA = 20, 21, 22, 23
_MESSAGES = {
    0: "HelloRequest",
    1: "ClientHello",
    2: "ServerHello",
    4: "NewSessionTicket",
    11: "Certificate",
    12: "ServerKeyExchange",
    13: "CertificateRequest",
    14: "ServerHelloDone",
    15: "CertificateVerify",
    16: "ClientKeyExchange",
    22: "CertificateStatus",
}


@dataclass(frozen=True, slots=True)
class Piece:
    """A record, or plain bytes: ``kind`` is ``plain text`` or ``TLS``; ``text`` says what it is."""

    kind: str
    text: str
    data: bytes


class Decoder:
    """Reads one direction of a connection; bytes of a record that is not whole wait."""

    def __init__(self) -> None:
        self._kind = ""
        self._waiting = b""
        self._encrypted = False

    def feed(self, data: bytes) -> list[Piece]:
        """Take the next bytes; returns what they complete."""
        self._waiting += data
        if not self._kind and len(self._waiting) >= 2:
            first = self._waiting
            self._kind = TLS if _CHANGE_CIPHER <= first[0] <= _DATA and first[1] == 3 else PLAIN
        if self._kind == TLS:
            return self._records()
        if not self._kind:
            return []
        whole, self._waiting = self._waiting, b""
        return [Piece(PLAIN, "", whole)]

    def end(self) -> list[Piece]:
        """Return what is left when the direction has ended."""
        left, self._waiting = self._waiting, b""
        return [Piece(self._kind or PLAIN, "cut off", left)] if left else []

    def _records(self) -> list[Piece]:
        found = []
        while len(self._waiting) >= _HEAD:
            size = _HEAD + int.from_bytes(self._waiting[3:5])
            if len(self._waiting) < size:
                break
            record, self._waiting = self._waiting[:size], self._waiting[size:]
            found.append(Piece(TLS, self._describe(record), record))
        return found

    def _describe(self, record: bytes) -> str:
        kind, body = record[0], record[_HEAD:]
        if kind == _DATA:
            return f"application data: {len(body)} bytes that only the two ends can read"
        if kind == _CHANGE_CIPHER:
            self._encrypted = True
            return "change cipher spec: from here on encrypted"
        if kind == _ALERT:
            return "alert" if len(body) == 2 else "alert, encrypted"
        if kind == _HANDSHAKE:
            if self._encrypted:
                return "handshake, encrypted"
            return "handshake: " + ", ".join(_messages(record))
        return f"record of type {kind}"


def _messages(record: bytes) -> list[str]:
    body = record[_HEAD:]
    found = []
    while len(body) >= 4:
        name = _MESSAGES.get(body[0], f"message {body[0]}")
        found.append(name + (_greeting(record) if name == "ClientHello" else ""))
        body = body[4 + int.from_bytes(body[1:4]) :]
    return found


def _greeting(record: bytes) -> str:
    facts = Inspection()
    tls_inspector.inspect(record, facts)
    said = [f"server name {facts.server_name}"] if facts.server_name else []
    if facts.application_protocols:
        said.append(f"protocols {' '.join(facts.application_protocols)}")
    return f" ({', '.join(said)})" if said else ""
