"""Load balancing: which host of the chosen cluster gets the request.

In a DestinationRule ``trafficPolicy.loadBalancer`` sets it: ``simple`` (ROUND_ROBIN, RANDOM,
LEAST_REQUEST) or ``consistentHash`` (ring hash, maglev), with locality settings and warm-up.
The choice is made per client sidecar: nobody coordinates them.
See it with ``meshctl proxy-config clusters POD`` and ``meshctl explain REQUEST``.

Source: Envoy, "Supported load balancers", ``api/envoy/config/cluster/v3/cluster.proto``.
"""

from __future__ import annotations

from envoy_data_plane.envoy.config.cluster.v3 import Cluster, ClusterLbPolicy

from mesh.sidecar.upstream.balancers.base import Balancer, Context, settings_of
from mesh.sidecar.upstream.balancers.edf import slow_start_of
from mesh.sidecar.upstream.balancers.least_request import LeastRequest
from mesh.sidecar.upstream.balancers.maglev import DEFAULT_SIZE, Maglev
from mesh.sidecar.upstream.balancers.random import Random
from mesh.sidecar.upstream.balancers.ring_hash import (
    DEFAULT_MAXIMUM,
    DEFAULT_MINIMUM,
    RingHash,
)
from mesh.sidecar.upstream.balancers.round_robin import RoundRobin

__all__ = ["Balancer", "Context", "make_balancer"]


def make_balancer(cluster: Cluster) -> Balancer:
    """Make the balancer of ``cluster``; ValueError for a policy that is not executed here."""
    settings = settings_of(cluster)
    policy = cluster.lb_policy
    hashing = cluster.common_lb_config and cluster.common_lb_config.consistent_hashing_lb_config
    use_hostname = bool(hashing and hashing.use_hostname_for_hashing)
    if policy == ClusterLbPolicy.ROUND_ROBIN:
        robin = cluster.round_robin_lb_config
        return RoundRobin(settings, slow_start_of(robin.slow_start_config if robin else None))
    if policy == ClusterLbPolicy.LEAST_REQUEST:
        least = cluster.least_request_lb_config
        if least is None:
            return LeastRequest(settings)
        bias = least.active_request_bias
        return LeastRequest(
            settings,
            choice_count=least.choice_count or 2,
            bias=bias.default_value if bias else 1.0,
            slow_start=slow_start_of(least.slow_start_config),
        )
    if policy == ClusterLbPolicy.RANDOM or policy == ClusterLbPolicy.CLUSTER_PROVIDED:
        return Random(settings)
    if policy == ClusterLbPolicy.RING_HASH:
        ring = cluster.ring_hash_lb_config
        if ring is not None and int(ring.hash_function):
            raise ValueError(f"cluster {cluster.name}: only XX_HASH is executed for ring hash")
        return RingHash(
            settings,
            minimum=_or(ring.minimum_ring_size if ring else None, DEFAULT_MINIMUM),
            maximum=_or(ring.maximum_ring_size if ring else None, DEFAULT_MAXIMUM),
            use_hostname=use_hostname,
        )
    if policy == ClusterLbPolicy.MAGLEV:
        maglev = cluster.maglev_lb_config
        size = _or(maglev.table_size if maglev else None, DEFAULT_SIZE)
        return Maglev(settings, size=size, use_hostname=use_hostname)
    raise ValueError(f"cluster {cluster.name}: load balancing policy {policy!r} is not executed")


def _or(value: int | None, default: int) -> int:
    return default if value is None else value
