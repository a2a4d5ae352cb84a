"""ClusterManager: the clusters in force.

CDS brings the whole set of clusters, EDS the endpoints of each; a changed cluster replaces the one
in force only when it is warm, so no request meets one without endpoints.
See it with ``meshctl proxy-config clusters POD`` and ``curl ADMIN/clusters?format=json``.

Source: Envoy, "Cluster manager" (intro/arch_overview/upstream/cluster_manager).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from random import Random

from envoy_data_plane.envoy.config.cluster.v3 import Cluster as ClusterMessage
from envoy_data_plane.envoy.config.endpoint.v3 import ClusterLoadAssignment

from mesh.sidecar.errors import ConfigRefusedError
from mesh.sidecar.stats import Stats
from mesh.sidecar.upstream.cluster import Cluster


class ClusterManager:
    """All clusters; ``apply`` replaces the set, endpoints arrive on their own."""

    def __init__(self, stats: Stats, rng: Random, clock: Callable[[], float]) -> None:
        self.rng = rng
        self._clock = clock
        self._active: dict[str, Cluster] = {}
        self._warming: dict[str, Cluster] = {}
        self._assignments: dict[str, ClusterLoadAssignment] = {}
        self._added = 0
        self.on_warm: Callable[[], None] = lambda: None
        self.internal_listeners: dict[str, Callable[[], asyncio.Protocol]] = {}
        stats.add_gauges(self._gauges)

    def get(self, name: str) -> Cluster | None:
        """Return the cluster in force, or None: 503 NC."""
        return self._active.get(name)

    @property
    def active(self) -> list[Cluster]:
        """The clusters in force."""
        return list(self._active.values())

    @property
    def warming(self) -> int:
        """How many clusters wait for their endpoints."""
        return len(self._warming)

    def eds_names(self) -> set[str]:
        """Names of the load assignments that the clusters need."""
        clusters = [*self._active.values(), *self._warming.values()]
        return {item.eds_name for item in clusters if item.eds_name}

    def apply(self, messages: list[ClusterMessage]) -> None:
        """Replace the set of clusters: all of it, or nothing (ConfigRefusedError)."""
        made: dict[str, Cluster] = {}
        for message in messages:
            current = self._warming.get(message.name) or self._active.get(message.name)
            if message.name in made:
                raise ConfigRefusedError(f"cluster {message.name!r} is defined twice")
            if current is not None and (current.message is message or current.message == message):
                made[message.name] = current
            else:
                made[message.name] = Cluster(message, self.rng, self._clock)
        for name in [name for name in self._active if name not in made]:
            self._active.pop(name).drain()
        for name, cluster in self._warming.items():
            if made.get(name) is not cluster:
                cluster.drain()
        self._warming = {}
        for name, cluster in made.items():
            if cluster is self._active.get(name):
                continue
            self._added += 1
            cluster.on_warm = partial(self._warmed, cluster)
            cluster.begin()
            assignment = self._assignments.get(cluster.eds_name)
            if assignment is not None and not cluster.warm:
                cluster.set_endpoints(assignment)
            if cluster.warm:
                self._activate(cluster)
            else:
                self._warming[name] = cluster
        needed = self.eds_names()
        self._assignments = {k: v for k, v in self._assignments.items() if k in needed}

    def apply_endpoints(self, assignments: list[ClusterLoadAssignment]) -> None:
        """Take new endpoints over; a cluster that waited for them comes into force."""
        waiting: dict[str, list[Cluster]] = {}
        for cluster in [*self._active.values(), *self._warming.values()]:
            waiting.setdefault(cluster.eds_name, []).append(cluster)
        for assignment in assignments:
            name = assignment.cluster_name
            if name not in waiting or self._assignments.get(name) == assignment:
                continue
            self._assignments[name] = assignment
            for cluster in waiting[name]:
                cluster.set_endpoints(assignment)
        for name in [name for name, cluster in self._warming.items() if cluster.warm]:
            self._activate(self._warming.pop(name))

    def _warmed(self, cluster: Cluster) -> None:
        """Every endpoint of ``cluster`` has been checked."""
        if self._warming.get(cluster.name) is cluster:
            self._activate(self._warming.pop(cluster.name))
            self.on_warm()

    def _activate(self, cluster: Cluster) -> None:
        old = self._active.get(cluster.name)
        self._active[cluster.name] = cluster
        cluster.start()
        if old is not None:
            cluster.inherit(old)
            old.drain()

    def drain(self) -> None:
        """Close all idle connections."""
        for cluster in self._active.values():
            cluster.drain()

    def _gauges(self) -> dict[str, int]:
        values = {
            "cluster_manager.active_clusters": len(self._active),
            "cluster_manager.warming_clusters": len(self._warming),
            "cluster_manager.cluster_added": self._added,
        }
        for cluster in self._active.values():
            prefix = f"cluster.{cluster.name}."
            values.update({prefix + key: value for key, value in cluster.gauges().items()})
        return values
