"""Cluster: endpoints that are balanced together, with all that belongs to them.

In Istio one per service, port and subset (``outbound|8080|v1|recommendation...``).  It owns what
belongs to a destination and not to a client connection: the balancer, the pools, circuit breakers,
outlier detection, health checks, the counters.  A DestinationRule configures it.
See it with ``meshctl proxy-config clusters POD`` and ``curl ADMIN/clusters?format=json``.

Source: Envoy ``source/common/upstream/upstream_impl.cc``.
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
from mesh.sidecar.tls.context import TlsContext
from mesh.sidecar.upstream.balancers import Context, make_balancer
from mesh.sidecar.upstream.circuit_breaker import make_circuit_breakers
from mesh.sidecar.upstream.health import compile_health_check
from mesh.sidecar.upstream.health_checker import HealthChecker
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
_KINDS = (
    ClusterDiscoveryType.STATIC,
    ClusterDiscoveryType.EDS,
    ClusterDiscoveryType.ORIGINAL_DST,
)
_MOST_DESTINATIONS = 1024
_PROTOCOL_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"


class Cluster:
    """One cluster in force; ``warm`` becomes true when its endpoints are known.

    With health checks each of them has been asked once then; ``on_warm`` is called at that moment.
    """

    def __init__(self, message: ClusterMessage, rng: Random, clock: Callable[[], float]) -> None:
        """Compile ``message``.  Raises ConfigRefusedError for what cannot be executed."""
        self.message = message
        self.name = message.name
        kind = message.type if message.cluster_type is None else None
        if kind not in _KINDS:
            raise ConfigRefusedError(
                f"cluster {self.name!r}: only the types STATIC, EDS and ORIGINAL_DST can be "
                f"executed, not {kind}"
            )
        self.original_dst = kind is ClusterDiscoveryType.ORIGINAL_DST
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
        self._known = False
        self._traffic_before = False
        self.on_warm: Callable[[], None] = lambda: None
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
            self.checker = self._make_checker()
            if not self.eds_name:
                self.set_endpoints(message.load_assignment or ClusterLoadAssignment())
        except ValueError as error:
            raise ConfigRefusedError(f"cluster {self.name!r}: {error}") from None

    def _make_checker(self) -> HealthChecker | None:
        checks = self.message.health_checks
        if not checks:
            return None
        if len(checks) > 1:
            raise ValueError("only one health check of a cluster is executed")
        return HealthChecker(
            compile_health_check(checks[0]),
            self.name,
            self._rng,
            lambda host: self._sockets.choose(host.socket_metadata).tls,
            lambda: self.had_traffic,
            self._checked,
        )

    @property
    def warm(self) -> bool:
        """Whether the endpoints are known, and checked where there are health checks."""
        return self._known and (self.checker is None or self.checker.warm)

    @property
    def had_traffic(self) -> bool:
        """Whether a connection was ever opened for a request."""
        return self._traffic_before or any(each.connections_total for each in self._pools.values())

    def inherit(self, old: Cluster) -> None:
        """Go on where the cluster left off that this one replaces."""
        self.counters.update(old.counters)
        self._traffic_before = old.had_traffic

    def _checked(self, host: Host, changed: bool) -> None:
        """A health check of ``host`` is over."""
        if self.outliers is not None and not host.check_failed:
            self.outliers.on_health_check(host)
        if changed and host.leaving and host.check_failed:
            self._take([each for each in self.hosts if each is not host])
        if self.warm:
            self.on_warm()

    def set_endpoints(self, assignment: ClusterLoadAssignment) -> None:
        """Replace the endpoints; hosts that stay keep their state and their connections.

        With health checks a host stays that EDS does not name any more, until a check fails
        (unless ``ignore_health_on_host_removal``): the control plane may be wrong, checks are not.
        """
        old = {host.key: host for host in self.hosts}
        hosts: list[Host] = []
        for host in hosts_from(assignment):
            known = old.get(host.key)
            if known is not None:
                for name in _FROM_EDS:
                    setattr(known, name, getattr(host, name))
                known.leaving = False
                hosts.append(known)
            else:
                host.added_at = self._clock()
                hosts.append(host)
        if self.checker is not None and not self.message.ignore_health_on_host_removal:
            named = {host.key for host in hosts}
            gone = [host for key, host in old.items() if key not in named and host.available]
            for host in gone:
                host.leaving = True
            hosts += gone
        self._known = True
        self._take(hosts)

    def _take(self, hosts: list[Host]) -> None:
        """Put a set of hosts in force."""
        self.hosts = hosts
        self._balancer.update(hosts)
        if self.outliers is not None:
            self.outliers.update(hosts)
        if self.checker is not None:
            self.checker.update(hosts)
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
        if self.original_dst:
            return self._host_at(context)
        return self._balancer.choose(self.hosts, context, self._rng, self._clock)

    def _host_at(self, context: Context) -> Host | None:
        """Return the endpoint where the client wanted to go: each address is one, once asked for.

        Without a restored address there is none.  Envoy forgets unused ones after a while
        (``cleanup_interval``); here the oldest without a request go when there are many.
        """
        if context.destination is None:
            return None
        address, port = context.destination
        for host in self.hosts:
            if (host.address, host.port) == (address, port):
                return host
        idle = [each for each in self.hosts if not each.active_requests]
        if len(self.hosts) >= _MOST_DESTINATIONS and idle:
            self.hosts.remove(idle[0])
            for key in [key for key in self._pools if key[0] == idle[0].key]:
                self._pools.pop(key).drain()
        context.why = "original destination"
        host = Host(address, port)
        self.hosts.append(host)
        if self.outliers is not None:
            self.outliers.update(self.hosts)
        return host

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

    def begin(self) -> None:
        """Be taken over: health checks begin, which have to end before it comes into force."""
        if self.checker is not None:
            self.checker.begin()

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
        if self.checker is not None:
            self.checker.stop()
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
            "upstream_rq_retry": 0,  # as in Envoy it is there before the first one
            **self.counters,
        }
        values.update(
            {f"circuit_breakers.default.{key}": item for key, item in default.state().items()}
        )
        if self.outliers is not None:
            values.update(
                {f"outlier_detection.{key}": item for key, item in self.outliers.counters.items()}
            )
        if self.checker is not None:
            counted = self.checker.counters
            values.update({f"health_check.{key}": item for key, item in counted.items()})
        return values


def _pool_settings(message: ClusterMessage) -> PoolSettings:
    common = message.common_http_protocol_options
    packed = message.typed_extension_protocol_options.get(_PROTOCOL_OPTIONS)
    if packed is not None:
        options: Any = unpack(packed, f"cluster {message.name!r}")
        common = options.common_http_protocol_options or common
    limit = message.max_requests_per_connection or 0
    idle, age = 3600.0, 0.0
    if common is not None:
        idle = seconds(common.idle_timeout, idle)
        age = seconds(common.max_connection_duration, age)
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
        max_age=age,
        http2=http2,
        downstream_protocol=downstream_protocol,
    )
