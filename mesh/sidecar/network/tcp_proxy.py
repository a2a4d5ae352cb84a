"""tcp_proxy: bytes that are not HTTP, from a client to one endpoint and back.

A VirtualService's ``tcp`` routes (by port) and ``tls`` routes (by server name, without opening the
encryption) end here; so does each port whose protocol is ``tcp``.  One client connection gets one
connection to one endpoint, drawn by weight among clusters; either side may close its direction
first (``nc -N``), and the other still gets its answer.  One line of the access log for each
connection, when it ends: no status, but bytes, flags and the endpoint.
See it with ``meshctl logs POD`` and the counters ``tcp.NAME.`` of the admin port.

Source: Envoy ``source/common/tcp_proxy/tcp_proxy.cc``.
"""

from __future__ import annotations

import asyncio
import time
from random import Random
from typing import TYPE_CHECKING

from envoy_data_plane.envoy.extensions.filters.network.tcp_proxy.v3 import (
    TcpProxy as TcpProxyConfig,
)

from mesh.sidecar.access_log import LogContext
from mesh.sidecar.access_log_config import make_loggers
from mesh.sidecar.errors import ConfigRefusedError
from mesh.sidecar.network.relay import Relay
from mesh.sidecar.stream_info import ConnectionInfo, StreamInfo
from mesh.sidecar.upstream.cluster import Cluster
from mesh.sidecar.xds import seconds

if TYPE_CHECKING:
    from mesh.sidecar.listener import ActiveListener
    from mesh.sidecar.network import NetworkContext

_CANNOT = (
    "on_demand",
    "metadata_match",
    "hash_policy",
    "tunneling_config",
    "max_downstream_connection_duration",
    "backoff_options",
    "downstream_idle_timeout",
    "upstream_idle_timeout",
)


class TcpProxy:
    """One tcp_proxy filter, compiled; ``idle_timeout`` in seconds, 0 for none."""

    rds_name = ""
    warm = True

    def __init__(self, config: TcpProxyConfig, context: NetworkContext) -> None:
        """Compile ``config``.  Raises ConfigRefusedError for what cannot be executed."""
        for name in _CANNOT:
            if getattr(config, name):
                raise ConfigRefusedError(f"tcp_proxy: {name} cannot be executed")
        if config.cluster:
            self._clusters = [(config.cluster, 1)]
        elif config.weighted_clusters is not None:
            self._clusters = [
                (item.name, item.weight) for item in config.weighted_clusters.clusters
            ]
        else:
            raise ConfigRefusedError("tcp_proxy: neither cluster nor weighted_clusters")
        self.idle_timeout = seconds(config.idle_timeout, 3600.0)
        self.max_connect_attempts = config.max_connect_attempts or 1
        self.stat_prefix = f"tcp.{config.stat_prefix}."
        self.clusters = context.filters.clusters
        self.clock = context.filters.clock
        self._rng = context.filters.rng
        self._stats = context.filters.stats
        self._loggers = make_loggers(config.access_log, context.logs)

    def choose(self) -> str:
        """Draw the cluster of a connection."""
        return choose(self._clusters, self._rng)

    def cluster(self, name: str) -> Cluster | None:
        """Return the cluster in force, or None."""
        return self.clusters.get(name)

    def protocol(
        self, listener: ActiveListener, connection: ConnectionInfo | None
    ) -> asyncio.Protocol:
        """Make what serves one connection."""
        self.count("downstream_cx_total")
        return Relay(self, listener, connection).downstream

    def refuse(self, connection: ConnectionInfo, reason: str) -> None:
        """Write the line of a connection that a filter before has refused."""
        self.count("downstream_cx_total")
        now = self.clock()
        info = StreamInfo(time.time(), now, connection, protocol="", ended=now)
        info.downstream_remote_address = f"{connection.remote[0]}:{connection.remote[1]}"
        info.downstream_peer_uri_san = connection.peer_uri_san
        info.requested_server_name = connection.server_name
        info.connection_termination_details = reason
        self.log(info)

    def count(self, name: str, by: int = 1) -> None:
        """Count under Envoy's name."""
        self._stats.inc(self.stat_prefix + name, by)

    def log(self, info: StreamInfo) -> None:
        """Write the line of a connection that has ended."""
        context = LogContext(info, {}, None)
        for logger in self._loggers:
            logger.log(context)


def choose(clusters: list[tuple[str, int]], rng: Random) -> str:
    """Draw one of (name, weight); a single one needs no draw."""
    if len(clusters) == 1:
        return clusters[0][0]
    draw = rng.randrange(sum(weight for _, weight in clusters))
    for name, weight in clusters:
        draw -= weight
        if draw < 0:
            return name
    raise AssertionError("the weights have a sum")
