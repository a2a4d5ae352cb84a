"""ClusterManager: the clusters in force, their endpoints and their connections.

A cluster is a set of endpoints that are balanced together: in Istio one per service, port and
subset (``outbound|8080|v1|recommendation...``).  It owns what belongs to a destination and not to
a client connection: the balancer, the pools, the counters.  A DestinationRule configures it.
See it with ``meshctl proxy-config clusters POD`` and ``curl ADMIN/clusters?format=json``.

Source: Envoy, "Cluster manager" (intro/arch_overview/upstream/cluster_manager).
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable
from random import Random
from typing import Any

from envoy_data_plane.envoy.config.cluster.v3 import Cluster as ClusterMessage
from envoy_data_plane.envoy.config.cluster.v3 import ClusterDiscoveryType
from envoy_data_plane.envoy.config.endpoint.v3 import ClusterLoadAssignment

from mesh.sidecar.errors import ConfigRefusedError
from mesh.sidecar.stats import Stats
from mesh.sidecar.tls.context import TlsContext
from mesh.sidecar.upstream.balancers import Context, make_balancer
from mesh.sidecar.upstream.circuit_breaker import make_circuit_breakers
from mesh.sidecar.upstream.host import Host, hosts_from
from mesh.sidecar.upstream.http2_pool import Http2Pool
from mesh.sidecar.upstream.outlier_config import compile_outlier_detection
from mesh.sidecar.upstream.outlier_detection import Local, OutlierDetector
from mesh.sidecar.upstream.pool import HostPool, PoolSettings
from mesh.sidecar.upstream.transport_socket import SocketMatch, TransportSockets
from mesh.sidecar.xds import seconds, unpack

_FROM_EDS = [
    "pod",
    "hash_key",
    "weight",
    "priority",
    "locality",
    "locality_weight",
    "health",
    "hostname",
    "metadata",
    "socket_metadata",
]
_PROTOCOL_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"


class Cluster:
    """One cluster in force; ``warm`` becomes true when its endpoints are known."""

    def __init__(self, message: ClusterMessage, rng: Random, clock: Callable[[], float]) -> None:
        """Compile ``message``.  Raises ConfigRefusedError for what cannot be executed."""
        self.message = message
        self.name = message.name
        kind = message.type if message.cluster_type is None else None
        if kind not in (ClusterDiscoveryType.STATIC, ClusterDiscoveryType.EDS):
            raise ConfigRefusedError(
                f"cluster {self.name!r}: only the types STATIC and EDS can be executed, not {kind}"
            )
        try:
            self._sockets = TransportSockets(message)
        except ConfigRefusedError as error:
            raise ConfigRefusedError(f"cluster {self.name!r}: {error}") from None
        self.eds_name = ""
        if kind is ClusterDiscoveryType.EDS:
            service = message.eds_cluster_config.service_name if message.eds_cluster_config else ""
            self.eds_name = service or self.name
        self.settings = _pool_settings(message)
        self.hosts: list[Host] = []
        self.warm = False
        self.counters: defaultdict[str, int] = defaultdict(int)
        self.host_counters: defaultdict[str, defaultdict[str, int]] = defaultdict(
            lambda: defaultdict(int)
        )
        self._pools: dict[tuple[str, bool], HostPool | Http2Pool] = {}
        self._pool_sockets: dict[str, SocketMatch] = {}
        self._rng = rng
        self._clock = clock
        self._ticker: asyncio.TimerHandle | None = None
        try:
            self._balancer = make_balancer(message)
            self.breakers = make_circuit_breakers(message)
            self.outliers: OutlierDetector | None = None
            if message.outlier_detection is not None:
                self.outliers = OutlierDetector(
                    compile_outlier_detection(message.outlier_detection), self.name, rng, clock
                )
            if not self.eds_name:
                self.set_endpoints(message.load_assignment or ClusterLoadAssignment())
        except ValueError as error:
            raise ConfigRefusedError(f"cluster {self.name!r}: {error}") from None

    def set_endpoints(self, assignment: ClusterLoadAssignment) -> None:
        """Replace the endpoints; hosts that stay keep their state and their connections."""
        old = {host.key: host for host in self.hosts}
        hosts: list[Host] = []
        for host in hosts_from(assignment):
            known = old.get(host.key)
            if known is not None:
                for name in _FROM_EDS:
                    setattr(known, name, getattr(host, name))
                hosts.append(known)
            else:
                host.added_at = self._clock()
                hosts.append(host)
        self.hosts = hosts
        self.warm = True
        self._balancer.update(hosts)
        if self.outliers is not None:
            self.outliers.update(hosts)
        self.counters["membership_change"] += 1
        sockets = {host.key: self._sockets.choose(host.socket_metadata) for host in hosts}
        for key in list(self._pools):
            if sockets.get(key[0]) != self._pool_sockets[key[0]]:
                self._pools.pop(key).drain()

    def pool(self, host: Host, downstream: str = "") -> HostPool | Http2Pool:
        """Return the pool of connections to ``host``, for a request that came as ``downstream``."""
        settings = self.settings
        if not settings.http2 and not (settings.downstream_protocol and downstream == "HTTP/2"):
            return self.raw_pool(host)
        pool = self._pools.get((host.key, True))
        if pool is None:
            pool = self._pools[host.key, True] = Http2Pool(
                host.pipe or host.address, host.port, settings, self._tls(host)
            )
        return pool

    def raw_pool(self, host: Host) -> HostPool:
        """Return the pool of connections to ``host`` for HTTP/1.1 and for bytes that are not HTTP."""
        pool = self._pools.get((host.key, False))
        if pool is None:
            pool = self._pools[host.key, False] = HostPool(
                host.pipe or host.address, host.port, self.settings, self._tls(host)
            )
        assert isinstance(pool, HostPool)
        return pool

    def _tls(self, host: Host) -> TlsContext | None:
        socket = self._pool_sockets[host.key] = self._sockets.choose(host.socket_metadata)
        return socket.tls

    def connections(self, host: Host) -> tuple[int, int, int]:
        """Return how many connections to ``host`` are open, were opened, and could not be."""
        pools = [pool for (key, _), pool in self._pools.items() if key == host.key]
        return (
            sum(pool.active for pool in pools),
            sum(pool.connections_total for pool in pools),
            sum(pool.connect_failures for pool in pools),
        )

    def choose(self, context: Context) -> Host | None:
        """Choose an endpoint, or None when there is no healthy one."""
        return self._balancer.choose(self.hosts, context, self._rng, self._clock)

    def report_status(self, host: Host, status: int) -> None:
        """Tell outlier detection of an answer."""
        self.host_counters[host.key]["rq_error" if status >= 500 else "rq_success"] += 1
        if self.outliers is not None:
            self.outliers.on_response(host, status)

    def report_local(self, host: Host, result: Local) -> None:
        """Tell outlier detection of a connection's fate."""
        if result is not Local.CONNECTED:
            self.host_counters[host.key]["rq_error"] += 1
        if self.outliers is not None:
            self.outliers.on_local(host, result)

    def start(self) -> None:
        """Come into force: outlier detection begins to tick."""
        if self.outliers is not None:
            self._ticker = asyncio.get_running_loop().call_later(
                self.outliers.config.interval, self._tick
            )

    def _tick(self) -> None:
        assert self.outliers is not None
        self.outliers.tick()
        self.start()

    def drain(self) -> None:
        """Let go of all connections after their answers."""
        if self._ticker is not None:
            self._ticker.cancel()
            self._ticker = None
        for pool in self._pools.values():
            pool.drain()

    def gauges(self) -> dict[str, int]:
        """Return the cluster's statistics by Envoy's names without the prefix."""
        pools = self._pools.values()
        default = self.breakers.of(0)
        values = {
            "membership_total": len(self.hosts),
            "membership_healthy": sum(host.available for host in self.hosts),
            "upstream_cx_active": sum(pool.active for pool in pools),
            "upstream_cx_total": sum(pool.connections_total for pool in pools),
            "upstream_cx_connect_fail": sum(pool.connect_failures for pool in pools),
            "upstream_cx_overflow": default.connections.overflows,
            "upstream_rq_active": sum(host.active_requests for host in self.hosts),
            "upstream_rq_pending_active": default.pending_requests.count,
            "upstream_rq_pending_overflow": (
                default.pending_requests.overflows + default.requests.overflows
            ),
            "upstream_rq_retry_overflow": default.retries.overflows,
            **self.counters,
        }
        values.update(
            {f"circuit_breakers.default.{key}": item for key, item in default.state().items()}
        )
        if self.outliers is not None:
            values.update(
                {f"outlier_detection.{key}": item for key, item in self.outliers.counters.items()}
            )
        return values


class ClusterManager:
    """All clusters; ``apply`` replaces the set, endpoints arrive on their own."""

    def __init__(self, stats: Stats, rng: Random, clock: Callable[[], float]) -> None:
        self.rng = rng
        self._clock = clock
        self._active: dict[str, Cluster] = {}
        self._warming: dict[str, Cluster] = {}
        self._assignments: dict[str, ClusterLoadAssignment] = {}
        self._added = 0
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

    def eds_names(self) -> list[str]:
        """Names of the load assignments that the clusters need, sorted."""
        clusters = self._active | self._warming
        return sorted({item.eds_name for item in clusters.values() if item.eds_name})

    def apply(self, messages: list[ClusterMessage]) -> None:
        """Replace the set of clusters: all of it, or nothing (ConfigRefusedError)."""
        made: dict[str, Cluster] = {}
        for message in messages:
            current = self._warming.get(message.name) or self._active.get(message.name)
            if message.name in made:
                raise ConfigRefusedError(f"cluster {message.name!r} is defined twice")
            if current is not None and current.message == message:
                made[message.name] = current
            else:
                made[message.name] = Cluster(message, self.rng, self._clock)
        for name in [name for name in self._active if name not in made]:
            self._active.pop(name).drain()
        self._warming = {}
        for name, cluster in made.items():
            if cluster is self._active.get(name):
                continue
            self._added += 1
            assignment = self._assignments.get(cluster.eds_name)
            if assignment is not None and not cluster.warm:
                cluster.set_endpoints(assignment)
            if cluster.warm:
                self._activate(cluster)
            else:
                self._warming[name] = cluster
        needed = set(self.eds_names())
        self._assignments = {k: v for k, v in self._assignments.items() if k in needed}

    def apply_endpoints(self, assignments: list[ClusterLoadAssignment]) -> None:
        """Take new endpoints over; a cluster that waited for them comes into force."""
        for assignment in assignments:
            if assignment.cluster_name not in self.eds_names():
                continue
            if self._assignments.get(assignment.cluster_name) == assignment:
                continue
            self._assignments[assignment.cluster_name] = assignment
            for cluster in [*self._active.values(), *self._warming.values()]:
                if cluster.eds_name == assignment.cluster_name:
                    cluster.set_endpoints(assignment)
        for name in [name for name, cluster in self._warming.items() if cluster.warm]:
            self._activate(self._warming.pop(name))

    def _activate(self, cluster: Cluster) -> None:
        old = self._active.get(cluster.name)
        self._active[cluster.name] = cluster
        cluster.start()
        if old is not None:
            cluster.counters.update(old.counters)
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


def _pool_settings(message: ClusterMessage) -> PoolSettings:
    common = message.common_http_protocol_options
    packed = message.typed_extension_protocol_options.get(_PROTOCOL_OPTIONS)
    if packed is not None:
        options: Any = unpack(packed, f"cluster {message.name!r}")
        common = options.common_http_protocol_options or common
    limit = message.max_requests_per_connection or 0
    idle = 3600.0
    if common is not None:
        idle = seconds(common.idle_timeout, idle)
        limit = common.max_requests_per_connection or limit
    http2 = message.http2_protocol_options is not None
    downstream_protocol = False
    if packed is not None:
        explicit, same = options.explicit_http_config, options.use_downstream_protocol_config
        http2 = explicit is not None and explicit.http2_protocol_options is not None
        downstream_protocol = same is not None and same.http2_protocol_options is not None
    return PoolSettings(
        connect_timeout=seconds(message.connect_timeout, 5.0),
        idle_timeout=idle,
        max_requests=limit,
        http2=http2,
        downstream_protocol=downstream_protocol,
    )
