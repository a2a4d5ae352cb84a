"""Config: what is in force in this sidecar, per xDS type, and since when.

The control plane sends clusters (CDS), endpoints (EDS), listeners (LDS) and routes (RDS).  A type is
taken over as a whole or refused as a whole; what was in force before then stays.
See it with ``meshctl proxy-config`` and ``curl ADMIN/config_dump``.

Source: Envoy, "xDS REST and gRPC protocol" (api-docs/xds_protocol).
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import Any

from betterproto2 import Message
from envoy_data_plane.envoy.config.cluster.v3 import Cluster
from envoy_data_plane.envoy.config.endpoint.v3 import ClusterLoadAssignment
from envoy_data_plane.envoy.config.listener.v3 import Listener
from envoy_data_plane.envoy.config.route.v3 import RouteConfiguration

from mesh.sidecar.errors import ConfigRefusedError
from mesh.sidecar.listener import ListenerManager
from mesh.sidecar.upstream.cluster_manager import ClusterManager
from mesh.sidecar.xds import compile_routes, unpack

_PREFIX = "type.googleapis.com/envoy.config."
CDS = _PREFIX + "cluster.v3.Cluster"
EDS = _PREFIX + "endpoint.v3.ClusterLoadAssignment"
LDS = _PREFIX + "listener.v3.Listener"
RDS = _PREFIX + "route.v3.RouteConfiguration"


@dataclass(slots=True)
class TypeState:
    """One type: the version in force, the last refusal, the resources by name."""

    version: str = ""
    updated: float = 0.0
    error: str = ""
    error_version: str = ""
    resources: dict[str, Any] = field(default_factory=dict)


class Config:
    """Applies resources; ``in_force`` is set once the first configuration works as a whole."""

    def __init__(self, clusters: ClusterManager, listeners: ListenerManager) -> None:
        self._clusters = clusters
        self._listeners = listeners
        self.types: dict[str, TypeState] = {url: TypeState() for url in (CDS, EDS, LDS, RDS)}
        self.in_force = asyncio.Event()
        clusters.on_warm = self._look

    def names(self, type_url: str) -> list[str]:
        """Names to subscribe to; empty for the wildcard types CDS and LDS."""
        if type_url == EDS:
            return self._clusters.eds_names()
        return self._listeners.rds_names() if type_url == RDS else []

    async def apply(self, type_url: str, version: str, packed: list[Any]) -> None:
        """Take ``packed`` over.  Raises ConfigRefusedError; then nothing has changed."""
        state = self.types[type_url]
        try:
            if type_url == CDS:
                clusters = _read(packed, Cluster)
                self._clusters.apply(clusters)
                state.resources = {item.name: item for item in clusters}
            elif type_url == EDS:
                assignments = _read(packed, ClusterLoadAssignment)
                self._clusters.apply_endpoints(assignments)
                state.resources.update({item.cluster_name: item for item in assignments})
            elif type_url == LDS:
                listeners = _read(packed, Listener)
                await self._listeners.apply(listeners)
                state.resources = {item.name: item for item in listeners}
            else:
                routes = _read(packed, RouteConfiguration)
                tables = {item.name: compile_routes(item) for item in routes}
                self._listeners.tables.update(tables)
                state.resources.update({item.name: item for item in routes})
                await self._listeners.start_warm()
        except ConfigRefusedError as error:
            state.error, state.error_version = str(error), version
            raise
        state.version, state.updated = version, time.time()
        state.error = state.error_version = ""
        self._forget_unused()
        self._look()

    def _look(self) -> None:
        """Set ``in_force`` when nothing is missing."""
        if (
            self.types[CDS].version
            and self.types[LDS].version
            and not self._clusters.warming
            and not self._listeners.warming
        ):
            self.in_force.set()

    def _forget_unused(self) -> None:
        eds, rds = self.types[EDS], self.types[RDS]
        needed = set(self.names(EDS))
        eds.resources = {name: item for name, item in eds.resources.items() if name in needed}
        needed = set(self.names(RDS))
        rds.resources = {name: item for name, item in rds.resources.items() if name in needed}
        for name in [name for name in self._listeners.tables if name not in needed]:
            del self._listeners.tables[name]


def _read[M: Message](packed: list[Any], kind: type[M]) -> list[M]:
    messages: list[M] = []
    for item in packed:
        message = unpack(item, kind.__name__)
        if not isinstance(message, kind):
            raise ConfigRefusedError(f"expected {kind.__name__}, got {type(message).__name__}")
        messages.append(message)
    return messages
