"""Config: what is in force in this sidecar, per xDS type, and since when.

The control plane sends clusters (CDS), endpoints (EDS), listeners (LDS) and routes (RDS), those that
changed and the names of those that are gone.  What comes together is taken over or refused together;
what was in force before then stays.
See it with ``meshctl proxy-config`` and ``curl ADMIN/config_dump``.

Source: Envoy, "xDS REST and gRPC protocol" (api-docs/xds_protocol).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from betterproto2 import Message
from envoy_data_plane.envoy.config.cluster.v3 import Cluster
from envoy_data_plane.envoy.config.endpoint.v3 import ClusterLoadAssignment
from envoy_data_plane.envoy.config.listener.v3 import Listener
from envoy_data_plane.envoy.config.route.v3 import RouteConfiguration
from envoy_data_plane.envoy.service.discovery.v3 import Resource

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
    """One type: the version in force, the last refusal, resources and their versions by name."""

    version: str = ""
    updated: float = 0.0
    error: str = ""
    error_version: str = ""
    resources: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)

    def keep(self, names: Collection[str]) -> None:
        """Forget all but these."""
        for name in [name for name in self.resources if name not in names]:
            del self.resources[name]
            self.versions.pop(name, None)


class Config:
    """Applies resources; ``in_force`` is set once the first configuration works as a whole."""

    def __init__(self, clusters: ClusterManager, listeners: ListenerManager) -> None:
        self._clusters = clusters
        self._listeners = listeners
        self.types: dict[str, TypeState] = {url: TypeState() for url in (CDS, EDS, LDS, RDS)}
        self.in_force = asyncio.Event()
        clusters.on_warm = self._look

    def names(self, type_url: str) -> set[str]:
        """Names to subscribe to; empty for the wildcard types CDS and LDS."""
        if type_url == EDS:
            return self._clusters.eds_names()
        return self._listeners.rds_names() if type_url == RDS else set()

    async def apply(
        self, type_url: str, version: str, changed: list[Resource], removed: list[str]
    ) -> None:
        """Take what changed over.  Raises ConfigRefusedError; then nothing has changed.

        Endpoints and routes are not taken away: they go when nothing needs them any more.
        """
        state = self.types[type_url]
        try:
            if type_url == CDS:
                clusters = {item.name: item for item in _read(changed, Cluster)}
                wanted = _replaced(state.resources, clusters, removed)
                self._clusters.apply(list(wanted.values()))
                state.resources = wanted
            elif type_url == EDS:
                assignments = _read(changed, ClusterLoadAssignment)
                self._clusters.apply_endpoints(assignments)
                state.resources.update({item.cluster_name: item for item in assignments})
            elif type_url == LDS:
                listeners = {item.name: item for item in _read(changed, Listener)}
                wanted = _replaced(state.resources, listeners, removed)
                await self._listeners.apply(list(wanted.values()))
                state.resources = wanted
            else:
                routes = _read(changed, RouteConfiguration)
                tables = {item.name: compile_routes(item) for item in routes}
                self._listeners.tables.update(tables)
                state.resources.update({item.name: item for item in routes})
                await self._listeners.start_warm()
        except ConfigRefusedError as error:
            state.error, state.error_version = str(error), version
            raise
        state.versions.update({item.name: item.version for item in changed})
        state.versions = {k: v for k, v in state.versions.items() if k in state.resources}
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
        self.types[EDS].keep(self.names(EDS))
        needed = self.names(RDS)
        self.types[RDS].keep(needed)
        for name in [name for name in self._listeners.tables if name not in needed]:
            del self._listeners.tables[name]


def _replaced(old: dict[str, Any], new: dict[str, Any], removed: list[str]) -> dict[str, Any]:
    """Return the resources that there should be."""
    gone = set(removed)
    return {name: item for name, item in (old | new).items() if name not in gone}


def _read[M: Message](changed: list[Resource], kind: type[M]) -> list[M]:
    messages: list[M] = []
    for item in changed:
        message = unpack(item.resource, kind.__name__)
        if not isinstance(message, kind):
            raise ConfigRefusedError(f"expected {kind.__name__}, got {type(message).__name__}")
        messages.append(message)
    return messages
