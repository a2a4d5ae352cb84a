"""Host: one endpoint of a cluster, as Envoy calls it.

In a real mesh an endpoint is a pod's address and port, sent by the control plane over EDS with
its locality, priority, weight and health; ``hash_key`` (metadata ``envoy.lb``) keeps consistent
hashing stable when addresses change, here it is the pod's name.  Priorities are the levels of
``localityLbSetting.failover``.
See it with ``meshctl proxy-config endpoints POD``.

Source: Envoy, ``api/envoy/config/endpoint/v3/endpoint_components.proto``,
``source/common/upstream/upstream_impl.cc`` (``HostImpl``).
"""

from __future__ import annotations

from typing import Any

from envoy_data_plane.envoy.config.core.v3 import Metadata
from envoy_data_plane.envoy.config.endpoint.v3 import ClusterLoadAssignment, LbEndpoint

HEALTHY, DEGRADED, UNHEALTHY = "healthy", "degraded", "unhealthy"
_EDS_HEALTH = {0: HEALTHY, 1: HEALTHY, 2: UNHEALTHY, 3: UNHEALTHY, 4: UNHEALTHY, 5: DEGRADED}


class Host:
    """One endpoint.  Equal to another only by identity; ``key`` names the same place.

    ``health`` is what EDS says, ``check_failed`` what active health checks found, ``leaving`` that
    EDS does not name it any more, ``ejected`` what outlier detection did (``ejected_for``: its
    reason), ``active_requests`` what the pool counts, ``internal`` names a listener of the sidecar
    itself.  ``added_at`` (seconds of the clock) starts the warm-up.  ``weight`` is at least 1.  ``socket_metadata`` (metadata
    ``envoy.transport_socket_match``) says whether the endpoint takes mTLS.
    """

    __slots__ = (
        "active_requests",
        "added_at",
        "address",
        "check_failed",
        "ejected",
        "ejected_for",
        "hash_key",
        "health",
        "hostname",
        "internal",
        "leaving",
        "locality",
        "locality_weight",
        "metadata",
        "pipe",
        "pod",
        "port",
        "priority",
        "socket_metadata",
        "weight",
    )

    def __init__(
        self,
        address: str = "",
        port: int = 0,
        pipe: str = "",
        pod: str = "",
        hash_key: str = "",
        weight: int = 1,
        priority: int = 0,
        locality: tuple[str, str, str] = ("", "", ""),
        locality_weight: int = 1,
        health: str = HEALTHY,
        hostname: str = "",
        metadata: dict[str, Any] | None = None,
    ) -> None:
        self.address = address
        self.internal = ""
        self.port = port
        self.pipe = pipe
        self.pod = pod
        self.hash_key = hash_key
        self.weight = weight
        self.priority = priority
        self.locality = locality
        self.locality_weight = locality_weight
        self.health = health
        self.hostname = hostname
        self.metadata: dict[str, Any] = {} if metadata is None else metadata
        self.socket_metadata: dict[str, Any] = {}
        self.active_requests = 0
        self.ejected = False
        self.ejected_for = ""
        self.check_failed = False
        self.leaving = False
        self.added_at: float | None = None

    @property
    def key(self) -> str:
        """Address as Envoy prints it: ``address:port``, the path of the Unix socket, or the internal listener."""
        if self.pipe:
            return self.pipe
        if self.internal:
            return f"envoy://{self.internal}/"
        return (
            f"[{self.address}]:{self.port}"
            if ":" in self.address
            else f"{self.address}:{self.port}"
        )

    @property
    def coarse_health(self) -> str:
        """``healthy``, ``degraded`` or ``unhealthy``: EDS, health checks and ejection together."""
        if self.ejected or self.check_failed:
            return UNHEALTHY
        return self.health

    @property
    def available(self) -> bool:
        """Whether the host counts as healthy."""
        return not self.ejected and not self.check_failed and self.health == HEALTHY

    def __repr__(self) -> str:
        return f"Host({self.pod or self.key})"


def hosts_from(assignment: ClusterLoadAssignment) -> list[Host]:
    """Hosts of ``assignment`` in its order; ValueError for an endpoint without an address."""
    hosts: list[Host] = []
    for group in assignment.endpoints:
        locality = ("", "", "")
        if group.locality is not None:
            locality = (group.locality.region, group.locality.zone, group.locality.sub_zone)
        weight = group.load_balancing_weight or 0
        hosts += [
            _host(assignment.cluster_name, entry, group.priority, locality, weight)
            for entry in group.lb_endpoints
        ]
    return hosts


def _host(
    cluster: str,
    entry: LbEndpoint,
    priority: int,
    locality: tuple[str, str, str],
    locality_weight: int,
) -> Host:
    if entry.endpoint is None or entry.endpoint.address is None:
        raise ValueError(f"an endpoint of {cluster} has no address")
    metadata = _metadata(entry.metadata, "envoy.lb")
    host = Host(
        pod=str(metadata.get("pod", "")),
        hash_key=str(metadata.get("hash_key", "")),
        weight=entry.load_balancing_weight or 1,
        priority=priority,
        locality=locality,
        locality_weight=locality_weight,
        health=_EDS_HEALTH[int(entry.health_status)],
        hostname=entry.endpoint.hostname,
        metadata=metadata,
    )
    host.socket_metadata = _metadata(entry.metadata, "envoy.transport_socket_match")
    address = entry.endpoint.address
    if address.socket_address is not None:
        host.address = address.socket_address.address
        host.port = address.socket_address.port_value or 0
    elif address.pipe is not None:
        host.pipe = address.pipe.path
    elif address.envoy_internal_address is not None:
        host.internal = address.envoy_internal_address.server_listener_name or ""
    else:
        raise ValueError(
            f"an endpoint of {cluster} has neither a socket address, a pipe nor an internal listener"
        )
    return host


def _metadata(metadata: Metadata | None, name: str) -> dict[str, Any]:
    if metadata is None or name not in metadata.filter_metadata:
        return {}
    values: dict[str, Any] = metadata.filter_metadata[name].to_dict()
    return values
