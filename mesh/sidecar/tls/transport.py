"""TlsTransport: an asyncio transport that encrypts, on top of one that does not.

It is the protocol of the raw connection and the transport of the application's protocol, which
therefore runs the same code with TLS and without.  asyncio's own TLS cannot close one direction
only, which raw TCP needs, and cannot check a peer's names inside the handshake.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

from OpenSSL import SSL

from mesh.sidecar.tls.context import Loaded, TlsContext
from mesh.sidecar.tls.errors import TlsError, describe
from mesh.sidecar.tls.peer import CertificateFacts, certificate_facts

_RECORD = 16384
_READ = 65536


@dataclass(frozen=True, slots=True)
class TlsFacts:
    """What a handshake brought: version (``TLSv1.3``), ALPN, SNI, the peer's and our certificate."""

    version: str
    alpn: str
    server_name: str
    peer: CertificateFacts | None
    own: CertificateFacts | None


class TlsTransport(asyncio.Protocol, asyncio.Transport):
    """One TLS connection.

    ``on_established`` gets the facts and returns the application's protocol; ``on_failed`` gets a
    TlsError (its text is Envoy's) when the handshake does not succeed, and None for a
    peer that left.  Exactly one of the two is called.
    """

    def __init__(
        self,
        context: TlsContext,
        on_established: Callable[[TlsFacts], asyncio.Protocol],
        on_failed: Callable[[TlsError | None], None],
        alpn: list[bytes] | None = None,
    ) -> None:
        asyncio.Transport.__init__(self)
        self._context = context
        self._ssl: SSL.Connection
        self._loaded: Loaded
        self._ssl, self._loaded = context.new_connection(alpn)
        self._on_established = on_established
        self._on_failed = on_failed
        self._raw: asyncio.Transport
        self._app: asyncio.Protocol | None = None
        self._established = False
        self._reported = False
        self._closing = False
        self._paused = False
        self._eof = False
        self._shut = False
        self.error: TlsError | None = None

    # The protocol of the raw connection.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by asyncio: the raw connection is there; a client begins the handshake."""
        self._raw = cast(asyncio.Transport, transport)
        if not self._context.server:
            self._handshake()

    def data_received(self, data: bytes) -> None:
        """Called by asyncio with encrypted bytes."""
        self._ssl.bio_write(data)
        if not self._established:
            self._handshake()
            if not self._established:
                return
        self._read()

    def _handshake(self) -> None:
        try:
            self._ssl.do_handshake()
        except SSL.WantReadError:
            self._flush(0)
            return
        except SSL.Error as error:
            self._fail(describe(error, self._ssl.get_app_data()))
            return
        self._flush(0)
        self._established = True
        self._reported = True
        peer = self._ssl.get_peer_certificate(as_cryptography=True)
        facts = TlsFacts(
            version=self._ssl.get_protocol_version_name(),
            alpn=self._ssl.get_alpn_proto_negotiated().decode("latin-1"),
            server_name=(self._ssl.get_servername() or b"").decode("latin-1"),
            peer=certificate_facts(peer) if peer is not None else None,
            own=self._loaded.own,
        )
        self._app = self._on_established(facts)
        self._app.connection_made(self)

    def _fail(self, error: TlsError | None) -> None:
        self.error = error
        self._flush(0)  # the alert
        self._closing = True
        self._raw.close()
        if not self._reported:
            self._reported = True
            self._on_failed(error)

    def _read(self) -> None:
        app = self._app
        assert app is not None
        while not self._paused and not self._eof:
            try:
                data = self._ssl.recv(_READ)
            except SSL.WantReadError:
                self._flush(0)
                return
            except SSL.ZeroReturnError:
                self._eof = True
                if not app.eof_received():
                    self.close()
                return
            except SSL.Error as error:
                self.error = describe(error, self._ssl.get_app_data())
                self._flush(0)
                self._raw.close()
                return
            app.data_received(data)
            app = self._app
            assert app is not None

    def _flush(self, size: int) -> None:
        """Send what OpenSSL has made of about ``size`` bytes."""
        room = size + (size // _RECORD + 1) * 64 + 4096
        while not self._raw.is_closing():
            try:
                data = self._ssl.bio_read(room)
            except SSL.Error:  # nothing to send
                return
            self._raw.write(data)
            if len(data) < room:
                return

    def eof_received(self) -> bool:
        """Called by asyncio: the peer closed without saying so in TLS; nothing more can come."""
        return False

    def connection_lost(self, error: Exception | None) -> None:
        """Called by asyncio: the raw connection is gone."""
        self._closing = True
        if not self._reported:
            self._reported = True
            self._on_failed(None)
        app, self._app = self._app, None
        if app is not None:
            app.connection_lost(error or self.error)

    def pause_writing(self) -> None:
        """Called by asyncio: the raw connection's buffer is full."""
        if self._app is not None:
            self._app.pause_writing()

    def resume_writing(self) -> None:
        """Called by asyncio: there is room again."""
        if self._app is not None:
            self._app.resume_writing()

    # The transport of the application's protocol.

    def write(self, data: Any) -> None:
        """Encrypt and send ``data``."""
        if self._closing or self._shut or not data:
            return
        try:
            self._ssl.sendall(data)
        except SSL.Error as error:
            self.error = describe(error, self._ssl.get_app_data())
            self._raw.abort()
            return
        self._flush(len(data))

    def writelines(self, pieces: Any) -> None:
        """Encrypt and send ``pieces`` in order."""
        self.write(b"".join(pieces))

    def can_write_eof(self) -> bool:
        """TLS closes one direction by an alert (close_notify)."""
        return True

    def write_eof(self) -> None:
        """Say that nothing more will be sent; the peer may still send."""
        if self._shut or self._closing:
            return
        self._shut = True
        with contextlib.suppress(SSL.Error):  # the peer has closed already
            self._ssl.shutdown()
        self._flush(0)

    def close(self) -> None:
        """Send what is written, say goodbye, close."""
        if self._closing:
            return
        if self._established:
            self.write_eof()
        self._closing = True
        self._raw.close()

    def abort(self) -> None:
        """Close at once."""
        self._closing = True
        self._raw.abort()

    def is_closing(self) -> bool:
        """Whether it is closed or about to be."""
        return self._closing or self._raw.is_closing()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Facts of the raw connection (``peername``, ``sockname``, ``socket``)."""
        return self._raw.get_extra_info(name, default)

    def get_protocol(self) -> asyncio.BaseProtocol:
        """Return the application's protocol."""
        assert self._app is not None
        return self._app

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Hand further bytes to ``protocol``."""
        self._app = cast(asyncio.Protocol, protocol)

    def is_reading(self) -> bool:
        """Whether bytes are passed on."""
        return not self._paused and not self.is_closing()

    def pause_reading(self) -> None:
        """Pass no bytes on for now."""
        self._paused = True
        self._raw.pause_reading()

    def resume_reading(self) -> None:
        """Pass bytes on again; what is decrypted already comes first."""
        if not self._paused:
            return
        self._paused = False
        self._raw.resume_reading()
        asyncio.get_running_loop().call_soon(self._read_on)

    def _read_on(self) -> None:
        if self._app is not None and self._established:
            self._read()

    def get_write_buffer_size(self) -> int:
        """Bytes that wait to be sent."""
        return self._raw.get_write_buffer_size()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Set when ``pause_writing`` is called."""
        self._raw.set_write_buffer_limits(high, low)
