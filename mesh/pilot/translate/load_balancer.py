"""Load balancing: how the client's sidecar picks one pod of a cluster.

In a mesh there is no load balancer in the middle: each sidecar chooses.  Istio's field is
``trafficPolicy.loadBalancer``: ``simple`` (ROUND_ROBIN, LEAST_REQUEST, RANDOM) or
``consistentHash`` (a header, cookie, query parameter or the source address decides, so the same
key meets the same pod).  The default was ROUND_ROBIN until 1.13, LEAST_REQUEST (two random hosts,
the less busy one) since.
Shown by ``meshctl proxy-config cluster POD -o json`` (``lbPolicy``).
"""

from __future__ import annotations

from datetime import timedelta

from envoy_data_plane.envoy.config.cluster.v3 import (
    Cluster,
    ClusterLbPolicy,
    ClusterMaglevLbConfig,
    ClusterRingHashLbConfig,
)
from envoy_data_plane.envoy.config.route.v3 import (
    RouteActionHashPolicy,
    RouteActionHashPolicyConnectionProperties,
    RouteActionHashPolicyCookie,
    RouteActionHashPolicyHeader,
    RouteActionHashPolicyQueryParameter,
)

from mesh.istio.eras import Era
from mesh.istio.models.destination_rule import LoadBalancerSettings

_SIMPLE = {
    "ROUND_ROBIN": ClusterLbPolicy.ROUND_ROBIN,
    "LEAST_REQUEST": ClusterLbPolicy.LEAST_REQUEST,
    "LEAST_CONN": ClusterLbPolicy.LEAST_REQUEST,
    "RANDOM": ClusterLbPolicy.RANDOM,
}
MINIMUM_RING_SIZE = 1024


def apply(cluster: Cluster, settings: LoadBalancerSettings | None, era: Era) -> None:
    """Write the balancer into a cluster; PASSTHROUGH needs an original destination: the default."""
    simple = settings.simple if settings and settings.simple else era.default_load_balancer
    cluster.lb_policy = _SIMPLE.get(simple, _SIMPLE[era.default_load_balancer])
    key = settings.consistent_hash if settings else None
    if key is None:
        return
    if key.maglev is not None:
        cluster.lb_policy = ClusterLbPolicy.MAGLEV
        if key.maglev.table_size:
            cluster.maglev_lb_config = ClusterMaglevLbConfig(table_size=key.maglev.table_size)
        return
    size = key.ring_hash.minimum_ring_size if key.ring_hash else key.minimum_ring_size
    cluster.lb_policy = ClusterLbPolicy.RING_HASH
    cluster.ring_hash_lb_config = ClusterRingHashLbConfig(
        minimum_ring_size=size or MINIMUM_RING_SIZE
    )


def hash_policy(settings: LoadBalancerSettings | None) -> list[RouteActionHashPolicy]:
    """Return the part of consistent hashing that stands in the route: where the key comes from."""
    key = settings.consistent_hash if settings else None
    if key is None:
        return []
    if key.http_header_name:
        header = RouteActionHashPolicyHeader(header_name=key.http_header_name)
        return [RouteActionHashPolicy(header=header)]
    if key.http_cookie is not None:
        cookie = RouteActionHashPolicyCookie(
            name=key.http_cookie.name, path=key.http_cookie.path or ""
        )
        if key.http_cookie.ttl is not None:
            cookie.ttl = timedelta(seconds=key.http_cookie.ttl.total_seconds())
        return [RouteActionHashPolicy(cookie=cookie)]
    if key.use_source_ip:
        source = RouteActionHashPolicyConnectionProperties(source_ip=True)
        return [RouteActionHashPolicy(connection_properties=source)]
    if key.http_query_parameter_name:
        query = RouteActionHashPolicyQueryParameter(name=key.http_query_parameter_name)
        return [RouteActionHashPolicy(query_parameter=query)]
    return []
