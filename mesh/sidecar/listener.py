"""Listeners: the ports of a sidecar and what is behind each.

A sidecar has ``virtualInbound`` in front of its application and ``http_proxy`` for what the
application sends; a gateway has one for each port.  A new version of a listener takes over the
port at once; connections accepted by the old one get one more answer, with ``connection: close``
(Envoy with ``--drain-strategy immediate``).  See it with ``meshctl proxy-config listeners POD``.

Source: Envoy, "Listener discovery service" and ``source/common/listener_manager``.
"""

from __future__ import annotations

from envoy_data_plane.envoy.config.listener.v3 import Listener as ListenerMessage
from envoy_data_plane.envoy.extensions.filters.network.http_connection_manager.v3 import (
    HttpConnectionManager as HcmConfig,
)

from mesh.sidecar.access_log import LogFiles
from mesh.sidecar.errors import ConfigRefusedError
from mesh.sidecar.filters import FilterContext
from mesh.sidecar.filters.routing import RouteTable
from mesh.sidecar.http_connection_manager import HttpConnectionManager
from mesh.sidecar.mitm.connection import ConnectionHandler
from mesh.sidecar.mitm.master import SidecarMaster
from mesh.sidecar.mitm.mode import SidecarInstance, SidecarMode
from mesh.sidecar.xds import unpack


class ActiveListener:
    """One listener; it listens from ``start`` to ``stop``."""

    def __init__(
        self,
        message: ListenerMessage,
        master: SidecarMaster,
        context: FilterContext,
        logs: LogFiles,
        tables: dict[str, RouteTable],
    ) -> None:
        """Compile ``message``.  Raises ConfigRefusedError for what cannot be executed."""
        self.message = message
        self.name = message.name
        self.master = master
        self._tables = tables
        where = f"listener {message.name!r}"
        address = message.address.socket_address if message.address is not None else None
        if address is None or not address.port_value:
            raise ConfigRefusedError(f"{where}: a socket_address with a port is needed")
        self.host, self.port = address.address, address.port_value
        chains = message.filter_chains
        if len(chains) != 1 or len(chains[0].filters) != 1:
            raise ConfigRefusedError(
                f"{where}: one filter chain with one network filter can be executed, not "
                f"{[len(chain.filters) for chain in chains]}"
            )
        if chains[0].transport_socket is not None:
            raise ConfigRefusedError(f"{where}: transport_socket cannot be executed")
        if message.listener_filters:
            names = [item.name for item in message.listener_filters]
            raise ConfigRefusedError(f"{where}: listener filters {names} cannot be executed")
        config = unpack(chains[0].filters[0].typed_config, where)
        if not isinstance(config, HcmConfig):
            raise ConfigRefusedError(f"{where}: only the http connection manager can be executed")
        try:
            self.hcm = HttpConnectionManager(config, context, logs)
        except ConfigRefusedError as error:
            raise ConfigRefusedError(f"{where}: {error}") from None
        self.connections: set[ConnectionHandler] = set()
        self.mode = SidecarMode.parse(f"sidecar:{self.name}@{self.host}:{self.port}")
        self._instance: SidecarInstance | None = None

    @property
    def table(self) -> RouteTable | None:
        """The routes in force: inline, or the newest by RDS."""
        return self.hcm.table or self._tables.get(self.hcm.rds_name)

    @property
    def warm(self) -> bool:
        """Whether the routes are known."""
        return self.table is not None

    @property
    def listening(self) -> bool:
        """Whether the port is open."""
        return self._instance is not None

    async def start(self) -> None:
        """Open the port.  Raises OSError."""
        instance = SidecarInstance(self.mode, manager=None)
        instance.listener = self
        await instance.start()
        self._instance = instance

    async def stop(self) -> None:
        """Close the port; open connections get one more answer."""
        if self._instance is not None:
            await self._instance.stop()
            self._instance = None
        for connection in list(self.connections):
            connection.drain()


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
        context.stats.add_gauges(self._gauges)

    @property
    def active(self) -> list[ActiveListener]:
        """The listeners in force."""
        return list(self._active.values())

    @property
    def warming(self) -> int:
        """How many listeners wait for their routes."""
        return len(self._warming)

    def rds_names(self) -> list[str]:
        """Names of the route configurations that the listeners need, sorted."""
        listeners = [*self._active.values(), *self._warming.values()]
        return sorted({item.hcm.rds_name for item in listeners if item.hcm.rds_name})

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
                    message, self._master, self._context, self._logs, self.tables
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
            if old is not None:
                await self._retire(old)

    async def _retire(self, listener: ActiveListener) -> None:
        await listener.stop()
        self._draining = [item for item in self._draining if item.connections]
        self._draining.append(listener)

    async def stop(self) -> list[ConnectionHandler]:
        """Close all ports and idle connections; return the connections with a request under way."""
        for listener in self.active:
            await listener.stop()
        busy = []
        for listener in [*self.active, *self._draining]:
            for connection in list(listener.connections):
                connection.close()
                if connection.busy:
                    busy.append(connection)
        return busy

    def _gauges(self) -> dict[str, int]:
        return {
            "listener_manager.total_listeners_active": len(self._active),
            "listener_manager.total_listeners_warming": len(self._warming),
            "listener_manager.total_listeners_draining": len(
                [item for item in self._draining if item.connections]
            ),
        }
