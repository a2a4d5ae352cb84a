"""Weighted clusters: the share of requests that each destination of a route gets.

In a VirtualService: ``weight`` of each ``route`` entry (canary releases); a destination's share
is its weight over the sum, and each request is drawn on its own, so 100 requests at 90/10 give
10 +- 6, not exactly 10.  Retries keep the draw: they never move to the other subset.  A
destination can have header operations of its own, which run before the route's.
See it with ``meshctl explain REQUEST`` (the draw) and ``meshctl graph`` (the shares).

Source: Envoy, ``source/common/router/config_impl.cc`` (``pickWeightedCluster``), HTTP
connection manager, "Traffic splitting".
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

from envoy_data_plane.envoy.config.route.v3 import WeightedCluster

from mesh.sidecar.filters.headers import NO_MUTATIONS, HeaderMutations, compile_mutations

if TYPE_CHECKING:
    from mesh.sidecar.filters.routing import CompiledRoute

_MAX_TOTAL = 2**32 - 1


@dataclass(frozen=True, slots=True)
class WeightedChoice:
    """One destination with its cumulated weight and its own header operations."""

    cluster: str
    weight: int
    until: int
    request_headers: HeaderMutations
    response_headers: HeaderMutations
    host_rewrite: str


@dataclass(frozen=True, slots=True)
class WeightedClusters:
    """The destinations of a route; ``total`` is the sum of their weights."""

    choices: tuple[WeightedChoice, ...]
    total: int


@dataclass(frozen=True, slots=True)
class ClusterChoice:
    """The drawn cluster, its ``weight`` of ``total``, the ``draw`` in [0, total), its mutations.

    A route with a single cluster gives weight, total and draw 0.
    """

    cluster: str
    weight: int = 0
    total: int = 0
    draw: int = 0
    request_headers: HeaderMutations = NO_MUTATIONS
    response_headers: HeaderMutations = NO_MUTATIONS
    host_rewrite: str = ""


NO_CLUSTER = ClusterChoice("")


def compile_weighted(config: WeightedCluster, where: str) -> WeightedClusters:
    """Compile the destinations; ValueError when the weights sum to 0 or above 2^32 - 1."""
    if not config.clusters:
        raise ValueError(f"{where}: weighted_clusters lists no cluster")
    total = 0
    choices = []
    for item in config.clusters:
        if not item.name:
            raise ValueError(f"{where}: a weighted cluster needs a name")
        weight = item.weight or 0
        total += weight
        choices.append(
            WeightedChoice(
                cluster=item.name,
                weight=weight,
                until=total,
                request_headers=compile_mutations(
                    item.request_headers_to_add, item.request_headers_to_remove, where
                ),
                response_headers=compile_mutations(
                    item.response_headers_to_add, item.response_headers_to_remove, where
                ),
                host_rewrite=item.host_rewrite_literal or "",
            )
        )
    if total == 0:
        raise ValueError(f"{where}: the weights of the clusters sum to 0")
    if total > _MAX_TOTAL:
        raise ValueError(f"{where}: the weights sum to {total}, allowed are {_MAX_TOTAL}")
    return WeightedClusters(tuple(choices), total)


def choose(route: CompiledRoute, rng: random.Random) -> ClusterChoice:
    """Choose the cluster of a request that took ``route``: once a request, kept by retries.

    A route without a cluster (redirect, direct response) gives the empty name.
    """
    weighted = route.weighted
    if weighted is None:
        return route.single
    value = rng.randrange(weighted.total)
    for choice in weighted.choices:
        if value < choice.until:
            return ClusterChoice(
                cluster=choice.cluster,
                weight=choice.weight,
                total=weighted.total,
                draw=value,
                request_headers=choice.request_headers,
                response_headers=choice.response_headers,
                host_rewrite=choice.host_rewrite,
            )
    raise AssertionError("the cumulated weights end at the total")
