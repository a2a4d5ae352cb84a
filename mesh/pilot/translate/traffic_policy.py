"""Traffic policy: which settings of a DestinationRule hold for one port of one subset.

``trafficPolicy`` of a subset goes over the one of the host, field by field; ``portLevelSettings``
replace both for their port and inherit nothing.
Source: istio/istio ``pilot/pkg/networking/util`` (MergeTrafficPolicy).
Shown by ``meshctl proxy-config cluster POD``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from mesh.istio.models.destination_rule import (
    ClientTLSSettings,
    ConnectionPoolSettings,
    LoadBalancerSettings,
    OutlierDetection,
    TrafficPolicy,
)
from mesh.pilot.translate.destination_rule import Rule


@dataclass(frozen=True, slots=True)
class Policy:
    """The settings in force for one cluster."""

    load_balancer: LoadBalancerSettings | None = None
    connection_pool: ConnectionPoolSettings | None = None
    outlier_detection: OutlierDetection | None = None
    tls: ClientTLSSettings | None = None


def effective(rule: Rule | None, subset: str, port: int) -> Policy:
    """Return the policy of ``subset`` (empty: the whole host) on ``port``."""
    if rule is None:
        return Policy()
    policy = _over(Policy(), rule.policy, port)
    chosen = rule.subset(subset) if subset else None
    return _over(policy, chosen.traffic_policy if chosen else None, port)


def _over(base: Policy, upper: TrafficPolicy | None, port: int) -> Policy:
    if upper is None:
        return base
    merged = replace(
        base,
        load_balancer=upper.load_balancer or base.load_balancer,
        connection_pool=upper.connection_pool or base.connection_pool,
        outlier_detection=upper.outlier_detection or base.outlier_detection,
        tls=upper.tls or base.tls,
    )
    for each in upper.port_level_settings or []:
        if each.port is not None and each.port.number == port:
            return Policy(
                each.load_balancer, each.connection_pool, each.outlier_detection, each.tls
            )
    return merged
