"""The network filters: what serves a connection once its filter chain is chosen.

The last filter of a chain is terminal: the HTTP connection manager, or ``tcp_proxy`` for bytes that
are not HTTP.  Filters before it may refuse the connection (``admit``).  A type that is not here
is refused with its name.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from envoy_data_plane.envoy.config.listener.v3 import Filter

from mesh.sidecar.access_log import LogFiles
from mesh.sidecar.errors import ConfigRefusedError
from mesh.sidecar.filters import FilterContext
from mesh.sidecar.filters.routing import RouteTable
from mesh.sidecar.stream_info import ConnectionInfo
from mesh.sidecar.xds import unpack

if TYPE_CHECKING:
    from mesh.sidecar.listener import ActiveListener

_NETWORK = "type.googleapis.com/envoy.extensions.filters.network."
TCP_PROXY = _NETWORK + "tcp_proxy.v3.TcpProxy"
RBAC = _NETWORK + "rbac.v3.RBAC"
HCM = _NETWORK + "http_connection_manager.v3.HttpConnectionManager"


@dataclass(frozen=True, slots=True)
class NetworkContext:
    """What a network filter may need: ``tables`` are the routes that RDS brought, by name."""

    filters: FilterContext
    logs: LogFiles
    tables: dict[str, RouteTable]
    outbound: bool = False


class NetworkFilter(Protocol):
    """A filter in front of the terminal one."""

    def admit(self, connection: ConnectionInfo) -> str:
        """Return why the connection is refused (its termination details), or nothing."""
        ...


class Terminal(Protocol):
    """The last filter of a chain; ``rds_name`` names the routes it waits for, or nothing."""

    rds_name: str

    @property
    def warm(self) -> bool:
        """Whether it can serve."""
        ...

    def refuse(self, connection: ConnectionInfo, reason: str) -> None:
        """Note that a filter before it has refused the connection."""
        ...

    def protocol(
        self, listener: ActiveListener, connection: ConnectionInfo | None
    ) -> asyncio.Protocol:
        """Make what serves one connection; nobody has looked at it when ``connection`` is None."""
        ...


Factory = Callable[[Any, NetworkContext], Any]
"""(typed configuration, context) -> NetworkFilter or Terminal."""


def terminal_filters() -> dict[str, Factory]:
    """Return the terminal filters by type URL."""
    from mesh.sidecar.http_connection_manager import HttpConnectionManager
    from mesh.sidecar.network.tcp_proxy import TcpProxy

    return {
        TCP_PROXY: TcpProxy,
        HCM: lambda config, context: HttpConnectionManager(
            config,
            context.filters,
            context.logs,
            context.tables,
            "CLIENT" if context.outbound else "SERVER",
        ),
    }


def network_filters() -> dict[str, Factory]:
    """Return the filters that may stand before the terminal one, by type URL."""
    from mesh.sidecar.network.rbac import NetworkRbac

    return {RBAC: NetworkRbac}


def make_network_filters(
    configs: Sequence[Filter], context: NetworkContext
) -> tuple[tuple[NetworkFilter, ...], Terminal]:
    """Make the filters of one chain.  Raises ConfigRefusedError, naming the filter."""
    if not configs:
        raise ConfigRefusedError("a filter chain without a network filter cannot be executed")
    made = []
    for place, config in enumerate(configs):
        last = place == len(configs) - 1
        factories = terminal_filters() if last else network_filters()
        url = config.typed_config.type_url if config.typed_config is not None else ""
        factory = factories.get(url)
        if factory is None:
            where = "as the last one" if last else "before the last one"
            raise ConfigRefusedError(
                f"network filter {config.name!r} of type {url!r} cannot be executed {where}"
            )
        message = unpack(config.typed_config, f"network filter {config.name!r}")
        try:
            made.append(factory(message, context))
        except ValueError as error:
            raise ConfigRefusedError(f"network filter {config.name!r}: {error}") from None
    *before, terminal = made
    return tuple(before), terminal
