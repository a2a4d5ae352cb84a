"""Listeners: the ports of a sidecar and what is behind each.

A sidecar has ``virtualInbound`` in front of its application and ``http_proxy`` for what the
application sends; a gateway has one for each port.  A new version of a listener takes over the
port at once; connections accepted by the old one get one more answer, with ``connection: close``
(Envoy with ``--drain-strategy immediate``).  See it with ``meshctl proxy-config listeners POD``.

Source: Envoy, "Listener discovery service" and ``source/common/listener_manager``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from envoy_data_plane.envoy.config.core.v3 import TrafficDirection
from envoy_data_plane.envoy.config.listener.v3 import Listener as ListenerMessage

from mesh.sidecar.acceptor import Acceptor
from mesh.sidecar.access_log import LogFiles
from mesh.sidecar.errors import ConfigRefusedError
from mesh.sidecar.filter_chain import FilterChain
from mesh.sidecar.filter_chain_match import Match
from mesh.sidecar.filters import FilterContext
from mesh.sidecar.filters.routing import RouteTable
from mesh.sidecar.listener_filters import make_inspectors, restores_destination
from mesh.sidecar.mitm.master import SidecarMaster
from mesh.sidecar.mitm.mode import SidecarInstance, SidecarMode
from mesh.sidecar.network import NetworkContext, Terminal
from mesh.sidecar.xds import seconds


class Served(Protocol):
    """A connection of a listener, whatever serves it."""

    closed: asyncio.Event

    @property
    def busy(self) -> bool:
        """Whether something is under way that should be finished."""
        ...

    def drain(self) -> None:
        """Serve the request under way, or one more, and close."""
        ...

    def close(self) -> None:
        """Close now, or after the request under way."""
        ...

    def abort(self) -> None:
        """Close at once."""
        ...


class ActiveListener:
    """One listener; it listens from ``start`` to ``stop``.

    ``inspection_timeout`` is in seconds, 0 for none.  ``hand_over`` finds the listener for an address
    that was restored, for one that ``hands_over`` connections (``use_original_dst``).
    """

    def __init__(
        self,
        message: ListenerMessage,
        master: SidecarMaster,
        context: FilterContext,
        logs: LogFiles,
        tables: dict[str, RouteTable],
        hand_over: Callable[[tuple[str, int]], ActiveListener | None] = lambda _: None,
    ) -> None:
        """Compile ``message``.  Raises ConfigRefusedError for what cannot be executed."""
        self.message = message
        self.name = message.name
        self.master = master
        self.hand_over = hand_over
        self._stats = context.stats
        self._internal_listeners = context.clusters.internal_listeners
        where = f"listener {message.name!r}"
        self.internal = message.internal_listener is not None
        address = message.address.socket_address if message.address is not None else None
        if self.internal:
            self.host, self.port = "127.0.0.1", 0
        elif address is None or not address.port_value:
            raise ConfigRefusedError(f"{where}: a socket_address with a port is needed")
        else:
            self.host, self.port = address.address, address.port_value
        place = f"envoy_internal_{self.name}" if self.internal else f"{self.host}_{self.port}"
        self.stat_prefix = f"listener.{message.stat_prefix or place}."
        self.inbound = message.traffic_direction is TrafficDirection.INBOUND
        self.draining = False
        try:
            outbound = message.traffic_direction is TrafficDirection.OUTBOUND
            self._compile(message, NetworkContext(context, logs, tables, outbound))
        except ConfigRefusedError as error:
            raise ConfigRefusedError(f"{where}: {error}") from None
        self.connections: set[Served] = set()
        self.mode = SidecarMode.parse(f"sidecar:{self.name}@{self.host}:{self.port}")
        self._instance: SidecarInstance | None = None

    def _compile(self, message: ListenerMessage, context: NetworkContext) -> None:
        if message.filter_chain_matcher is not None:
            raise ConfigRefusedError("filter_chain_matcher cannot be executed")
        self.chains = [FilterChain(item, context) for item in message.filter_chains]
        self.matches = [chain.match for chain in self.chains]
        for place, match in enumerate(self.matches):
            if match in self.matches[:place]:
                raise ConfigRefusedError(
                    f"filter chain {self.chains[place].name!r} has the same matching rules as "
                    f"{self.chains[self.matches.index(match)].name!r}"
                )
        default = message.default_filter_chain
        self.default_chain = FilterChain(default, context) if default is not None else None
        if not self.chains and self.default_chain is None:
            raise ConfigRefusedError("no filter chain")
        self.hands_over = bool(message.use_original_dst)
        self.binds = message.bind_to_port is not False
        self.inspectors = make_inspectors(message.listener_filters)
        self.restores_destination = restores_destination(message.listener_filters)
        self.inspection_timeout = seconds(message.listener_filters_timeout, 15.0)
        self.continue_on_timeout = message.continue_on_listener_filters_timeout
        # The usual listener has one chain for everything, and no reason to look at connections.
        only = self.chains[0] if len(self.chains) == 1 else None
        plain = only is not None and not only.filters and only.tls is None
        simple = (
            plain
            and not self.restores_destination
            and not self.hands_over
            and not self.inspectors
            and only is not None
            and only.match == Match()
        )
        self._only = only.terminal if simple and only is not None else None

    @property
    def _terminals(self) -> list[Terminal]:
        chains = [*self.chains, *([self.default_chain] if self.default_chain else [])]
        return [chain.terminal for chain in chains]

    @property
    def rds_names(self) -> list[str]:
        """Names of the route configurations that its chains need."""
        return [item.rds_name for item in self._terminals if item.rds_name]

    @property
    def warm(self) -> bool:
        """Whether the routes of all chains are known."""
        return all(item.warm for item in self._terminals)

    def protocol(self) -> asyncio.Protocol:
        """Make what serves an accepted connection."""
        if self._only is not None:
            return self._only.protocol(self, None)
        return Acceptor(self)

    def count(self, name: str) -> None:
        """Count an event of the listener under Envoy's name."""
        self._stats.inc(self.stat_prefix + name)

    @property
    def listening(self) -> bool:
        """Whether the port is open."""
        return self._instance is not None

    async def start(self) -> None:
        """Open the port (an internal listener has none).  Raises OSError."""
        if self.internal:
            self._internal_listeners[self.name] = self.protocol
            return
        if not self.binds:
            return  # it gets what another one hands over
        instance = SidecarInstance(self.mode, manager=None)
        instance.listener = self
        await instance.start()
        self._instance = instance

    def drain(self) -> None:
        """Stay open, and let each connection end with its next answer."""
        self.draining = True
        for connection in list(self.connections):
            connection.drain()

    async def stop(self) -> None:
        """Close the port; open connections get one more answer."""
        if self._internal_listeners.get(self.name) == self.protocol:
            del self._internal_listeners[self.name]
        if self._instance is not None:
            await self._instance.stop()
            self._instance = None
        self.drain()


class ListenerManager:
    """The listeners of a sidecar."""

    def __init__(self, master: SidecarMaster, context: FilterContext, logs: LogFiles) -> None:
        self.tables: dict[str, RouteTable] = {}
        self._master = master
        self._context = context
        self._logs = logs
        self._active: dict[str, ActiveListener] = {}
        self._warming: dict[str, ActiveListener] = {}
        self._draining: list[ActiveListener] = []
        self._leaving: set[bool] = set()
        context.stats.add_gauges(self._gauges)

    @property
    def active(self) -> list[ActiveListener]:
        """The listeners in force."""
        return list(self._active.values())

    @property
    def warming(self) -> int:
        """How many listeners wait for their routes."""
        return len(self._warming)

    def find(self, destination: tuple[str, int]) -> ActiveListener | None:
        """Return the listener for an address that was asked for: of the address, else of its port."""
        address, port = destination
        for host in (address, "0.0.0.0"):
            for item in self._active.values():
                if not item.hands_over and (item.host, item.port) == (host, port):
                    return item
        return None

    def rds_names(self) -> set[str]:
        """Names of the route configurations that the listeners need."""
        listeners = [*self._active.values(), *self._warming.values()]
        return {name for item in listeners for name in item.rds_names}

    async def apply(self, messages: list[ListenerMessage]) -> None:
        """Replace the set of listeners: all of it, or nothing (ConfigRefusedError)."""
        made: dict[str, ActiveListener] = {}
        for message in messages:
            current = self._warming.get(message.name) or self._active.get(message.name)
            if message.name in made:
                raise ConfigRefusedError(f"listener {message.name!r} is defined twice")
            if current is not None and current.message == message:
                made[message.name] = current
            else:
                made[message.name] = ActiveListener(
                    message, self._master, self._context, self._logs, self.tables, self.find
                )
        for name in [name for name in self._active if name not in made]:
            await self._retire(self._active.pop(name))
        self._warming = {k: v for k, v in made.items() if self._active.get(k) is not v}
        await self.start_warm()

    async def start_warm(self) -> None:
        """Bring the listeners into force whose routes have arrived."""
        for name in [name for name, item in self._warming.items() if item.warm]:
            listener = self._warming.pop(name)
            old = self._active.get(name)
            try:
                await listener.start()
            except OSError as error:
                raise ConfigRefusedError(
                    f"listener {name!r}: cannot listen on {listener.host}:{listener.port}: "
                    f"{error.strerror or error}"
                ) from None
            self._active[name] = listener
            self._let_go(listener)
            if old is not None:
                await self._retire(old)

    async def _retire(self, listener: ActiveListener) -> None:
        await listener.stop()
        self._draining = [item for item in self._draining if item.connections]
        self._draining.append(listener)

    def drain(self, inbound_only: bool) -> None:
        """Let every connection end with its next answer, those to come too (``/drain_listeners``).

        A new version of a listener goes on so: the process is about to end.
        """
        self._leaving |= {True} if inbound_only else {True, False}
        for listener in self.active:
            self._let_go(listener)

    def _let_go(self, listener: ActiveListener) -> None:
        if listener.inbound in self._leaving:
            listener.drain()

    async def stop(self) -> list[Served]:
        """Close all ports and idle connections; return the connections with a request under way."""
        for listener in self.active:
            await listener.stop()
        busy: list[Served] = []
        for listener in [*self.active, *self._draining]:
            for connection in list(listener.connections):
                connection.close()
                if connection.busy:
                    busy.append(connection)
        return busy

    def _gauges(self) -> dict[str, int]:
        connections: dict[str, int] = {}
        for item in [*self._active.values(), *self._draining]:
            name = item.stat_prefix + "downstream_cx_active"
            connections[name] = connections.get(name, 0) + len(item.connections)
        return connections | {
            "listener_manager.total_listeners_active": len(self._active),
            "listener_manager.total_listeners_warming": len(self._warming),
            "listener_manager.total_listeners_draining": len(
                [item for item in self._draining if item.connections]
            ),
        }
