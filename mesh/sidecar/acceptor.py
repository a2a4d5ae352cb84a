"""Acceptor: a connection between accept and the filter chain that serves it.

The listener filters look at the first bytes, the chain is chosen, TLS shakes hands, network
filters may refuse; only then the connection reaches what serves it.  So a port with STRICT mTLS
closes a plaintext connection before any HTTP answer.
See the failures in ``curl ADMIN/stats`` (``no_filter_chain_match``, ``ssl.connection_error``).

Source: Envoy ``source/common/listener_manager/active_tcp_socket.cc``, ``active_stream_listener_base.cc``.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, cast

from mesh.sidecar.filter_chain import FilterChain
from mesh.sidecar.filter_chain_match import ConnectionFacts, choose
from mesh.sidecar.listener_filters import Inspector
from mesh.sidecar.listener_filters.facts import Inspection
from mesh.sidecar.listener_filters.original_dst import original_destination
from mesh.sidecar.mitm.connection import connection_info
from mesh.sidecar.stream_info import ConnectionInfo
from mesh.sidecar.tls.errors import TlsError
from mesh.sidecar.tls.transport import TlsFacts, TlsTransport

if TYPE_CHECKING:
    from mesh.sidecar.listener import ActiveListener

logger = logging.getLogger(__name__)


class Acceptor(asyncio.Protocol):
    """Brings one connection of ``listener`` to its filter chain."""

    busy = False

    def __init__(self, listener: ActiveListener) -> None:
        self._listener = listener
        self._data = bytearray()
        self._waiting: list[Inspector] = list(listener.inspectors)
        self._facts = Inspection()
        self._timer: asyncio.TimerHandle | None = None
        self._handed_over = False
        self._info = ConnectionInfo()
        self.closed = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by asyncio: a client connected."""
        self._transport = cast(asyncio.Transport, transport)
        self._info = connection_info(self._transport)
        if self._listener.restores_destination:
            self._info.original = original_destination(self._transport)
            self._info.local = self._info.original or self._info.local
            self._hand_on()
        self._listener.connections.add(self)
        if not self._waiting:
            self._choose()
        elif self._listener.inspection_timeout:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(self._listener.inspection_timeout, self._timed_out)

    def _hand_on(self) -> None:
        """Become a connection of the listener that is for the address that was asked for."""
        if self._listener.hands_over and self._info.original is not None:
            found = self._listener.hand_over(self._info.original)
            if found is not None:
                self._listener = found
                self._waiting = list(found.inspectors)

    def data_received(self, data: bytes) -> None:
        """Called by asyncio with the first bytes of a client."""
        self._data += data
        while self._waiting:
            if not self._waiting[0](bytes(self._data), self._facts):
                return
            del self._waiting[0]
        self._choose()

    def _timed_out(self) -> None:
        self._listener.count("downstream_pre_cx_timeout")
        if self._listener.continue_on_timeout:
            self._choose()
        else:
            self._transport.close()

    def _choose(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        listener, facts = self._listener, self._facts
        self._info.server_name = facts.server_name
        place = choose(
            listener.matches,
            ConnectionFacts(
                local=self._info.local,
                remote=self._info.remote,
                transport_protocol=facts.transport_protocol,
                server_name=facts.server_name,
                application_protocols=facts.application_protocols,
            ),
        )
        chain = listener.default_chain if place is None else listener.chains[place]
        if chain is None:
            listener.count("no_filter_chain_match")
            self._transport.close()
            return
        data = bytes(self._data)
        if chain.tls is None:
            self._hand_over(chain, self._transport, data)
        else:
            self._secure(chain, data)

    def _secure(self, chain: FilterChain, data: bytes) -> None:
        assert chain.tls is not None
        transport: TlsTransport

        def established(facts: TlsFacts) -> asyncio.Protocol:
            self._stop_timer()
            self._listener.count("ssl.handshake")
            self._info.tls = facts
            return self._serve(chain, transport)

        def failed(error: TlsError | None) -> None:
            self._stop_timer()
            if error is not None:
                self._listener.count(f"ssl.{error.counter}")
                logger.info("listener %s: %s", self._listener.name, error)
            self._gone()

        transport = TlsTransport(chain.tls, established, failed)
        if chain.handshake_timeout:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(chain.handshake_timeout, self._transport.abort)
        self._transport.set_protocol(transport)
        transport.connection_made(self._transport)
        if data:
            transport.data_received(data)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _serve(self, chain: FilterChain, transport: asyncio.Transport) -> asyncio.Protocol:
        """Make what serves the connection; a refused one is closed."""
        for item in chain.filters:
            reason = item.admit(self._info)
            if reason:
                chain.terminal.refuse(self._info, reason)
                transport.close()
                return asyncio.Protocol()
        self._gone()
        return chain.terminal.protocol(self._listener, self._info)

    def _hand_over(self, chain: FilterChain, transport: asyncio.Transport, data: bytes) -> None:
        protocol = self._serve(chain, transport)
        if transport.is_closing():
            return
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
        if data:
            protocol.data_received(data)

    def _gone(self) -> None:
        self._listener.connections.discard(self)
        self.closed.set()

    def drain(self) -> None:
        """Nothing to do: what serves the connection is made with the old configuration."""

    def close(self) -> None:
        """Close now: no request has begun."""
        self._transport.close()

    def abort(self) -> None:
        """Close at once."""
        self._transport.abort()

    def connection_lost(self, error: Exception | None) -> None:
        """Called by asyncio: the client left while it was looked at."""
        self._stop_timer()
        self._gone()
