"""Load balancing: how the client's sidecar picks one pod of a cluster.

In a mesh there is no load balancer in the middle: each sidecar chooses.  Istio's field is
``trafficPolicy.loadBalancer``: ``simple`` (ROUND_ROBIN, LEAST_REQUEST, RANDOM) or
``consistentHash`` (a header, cookie, query parameter or the source address decides, so the same
key meets the same pod).  ``warmup`` (``warmupDurationSecs``) gives a new pod little at first: from
10 % of its share to all of it within the time, with ROUND_ROBIN and LEAST_REQUEST only.  The default was ROUND_ROBIN until 1.13, LEAST_REQUEST (two random hosts,
the less busy one) since.
Shown by ``meshctl proxy-config cluster POD -o json`` (``lbPolicy``).
"""

from __future__ import annotations

from datetime import timedelta

from envoy_data_plane.envoy.config.cluster.v3 import (
    Cluster,
    ClusterCommonLbConfig,
    ClusterCommonLbConfigLocalityWeightedLbConfig,
    ClusterLbPolicy,
    ClusterLeastRequestLbConfig,
    ClusterMaglevLbConfig,
    ClusterRingHashLbConfig,
    ClusterRoundRobinLbConfig,
    ClusterSlowStartConfig,
)
from envoy_data_plane.envoy.config.core.v3 import RuntimeDouble
from envoy_data_plane.envoy.config.route.v3 import (
    RouteActionHashPolicy,
    RouteActionHashPolicyConnectionProperties,
    RouteActionHashPolicyCookie,
    RouteActionHashPolicyCookieAttribute,
    RouteActionHashPolicyHeader,
    RouteActionHashPolicyQueryParameter,
)
from envoy_data_plane.envoy.type.v3 import Percent

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
    warm = _warm_up(settings)
    if warm is not None and cluster.lb_policy == ClusterLbPolicy.ROUND_ROBIN:
        cluster.round_robin_lb_config = ClusterRoundRobinLbConfig(slow_start_config=warm)
    elif warm is not None and cluster.lb_policy == ClusterLbPolicy.LEAST_REQUEST:
        cluster.least_request_lb_config = ClusterLeastRequestLbConfig(slow_start_config=warm)
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


def _warm_up(settings: LoadBalancerSettings | None) -> ClusterSlowStartConfig | None:
    """Return Envoy's slow start; ``warmupDurationSecs`` is the word of before 1.24."""
    if settings is None or settings.consistent_hash is not None:
        return None
    if settings.warmup is None:
        duration = settings.warmup_duration_secs
        return ClusterSlowStartConfig(slow_start_window=duration) if duration else None
    found = ClusterSlowStartConfig(slow_start_window=settings.warmup.duration)
    if settings.warmup.aggression is not None:
        found.aggression = RuntimeDouble(default_value=settings.warmup.aggression)
    if settings.warmup.minimum_percent is not None:
        found.min_weight_percent = Percent(value=settings.warmup.minimum_percent)
    return found


def weigh_localities(cluster: Cluster) -> None:
    """Have the balancer draw the place first, by the weights of the endpoints' places."""
    common = cluster.common_lb_config or ClusterCommonLbConfig()
    common.locality_weighted_lb_config = ClusterCommonLbConfigLocalityWeightedLbConfig()
    cluster.common_lb_config = common


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
        cookie.attributes = [
            RouteActionHashPolicyCookieAttribute(name=each.name, value=each.value or "")
            for each in key.http_cookie.attributes or []
        ]
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
