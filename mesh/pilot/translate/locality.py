"""Locality: near pods first, or shares for each place.

A pod's place is ``region/zone/subzone`` (labels of its node; ``locality`` of a topology's workload).
Istio's field is ``trafficPolicy.loadBalancer.localityLbSetting``:

    distribute        from a place, so many percent to each other one (Envoy: locality weights)
    failover          when a region's pods are ejected, go to that other region
    failoverPriority  the more of these labels a pod has in common with the caller, the nearer

Without any of them the same sub-zone goes before the zone, the zone before the region, the region
before the rest (Envoy: priorities).  All but ``distribute`` need ``outlierDetection``: nothing else
tells that a place fails.  A priority gets everything while 100/1.4 = 71.4 % of its pods are well;
below that the next one gets the rest.  ``enabled: false`` turns it off; on since 1.1.
Source: istio/istio ``pilot/pkg/networking/core/loadbalancer/loadbalancer.go``.
Shown by ``meshctl proxy-config endpoint POD -o json`` (``priority``, ``loadBalancingWeight``).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from mesh.istio.models.destination_rule import (
    LocalityDistribute,
    LocalityFailover,
    LocalityLoadBalancerSetting,
)
from mesh.pilot.registry import Endpoint
from mesh.pilot.translate.traffic_policy import Policy
from mesh.pilot.translate.view import MeshView

REGION, ZONE = "topology.kubernetes.io/region", "topology.kubernetes.io/zone"
SUBZONE = "topology.istio.io/subzone"
Place = tuple[str, str, str]
"""(region, zone, sub-zone)."""


@dataclass(frozen=True, slots=True)
class Group:
    """Endpoints of one place with the same priority; ``weight`` None: not weighted by place."""

    place: str
    members: tuple[Endpoint, ...]
    priority: int = 0
    weight: int | None = None


def setting(view: MeshView, policy: Policy) -> LocalityLoadBalancerSetting | None:
    """Return what is in force for a cluster; None when places do not count."""
    own = policy.load_balancer.locality_lb_setting if policy.load_balancer else None
    if own is None:
        own = LocalityLoadBalancerSetting() if view.era.release >= (1, 1) else None
    return None if own is None or own.enabled is False else own


def weighted(own: LocalityLoadBalancerSetting | None, failover: bool) -> bool:
    """True when Envoy is to weigh places; else it would change what LEAST_REQUEST means."""
    if own is None:
        return False
    return bool(own.distribute) or (failover and bool(own.failover or own.failover_priority))


def groups(view: MeshView, policy: Policy, endpoints: Sequence[Endpoint]) -> list[Group]:
    """Return the endpoints of a cluster as the caller ``view`` is for sees them."""
    by_place: dict[str, list[Endpoint]] = {}
    for each in endpoints:
        by_place.setdefault(each.locality, []).append(each)
    found = [Group(place, tuple(members)) for place, members in by_place.items()]
    own = setting(view, policy)
    failover = policy.outlier_detection is not None
    if weighted(own, failover):
        found = [Group(each.place, each.members, 0, _size(each.members)) for each in found]
    if own is None:
        return found
    if own.distribute:
        return _distributed(view.locality, found, own.distribute)
    if not failover:
        return found
    if own.failover_priority:
        labels = {**view.labels, **_labels(view.locality)}
        found = _by_labels(labels, found, own.failover_priority)
        return _ranked(view.locality, found, own.failover) if own.failover else _dense(found)
    return _ranked(view.locality, found, own.failover or [])


def _size(members: Sequence[Endpoint]) -> int:
    return sum(each.weight or 1 for each in members)


def split(place: str) -> Place:
    """Return (region, zone, sub-zone) of ``region/zone/subzone``."""
    region, zone, subzone = [*place.split("/"), "", ""][:3]
    return region, zone, subzone


def _labels(place: str) -> dict[str, str]:
    pairs = zip((REGION, ZONE, SUBZONE), split(place), strict=True)
    return {key: value for key, value in pairs if value}


def within(place: str, rule: str) -> bool:
    """True when a place is meant by a rule: ``*`` stands for anything, what is left out too."""
    region, *rest = split(rule)
    here, *parts = split(place)
    if region not in ("*", here):
        return False
    return all(wanted in ("*", "", part) for wanted, part in zip(rest, parts, strict=True))


def _distributed(
    caller: str, found: Sequence[Group], rules: Sequence[LocalityDistribute]
) -> list[Group]:
    rule = next((each for each in rules if within(caller, each.from_ or "")), None)
    if rule is None:
        return list(found)
    left = list(found)
    out: list[Group] = []
    for place, weight in sorted((rule.to or {}).items(), key=lambda each: -len(each[0])):
        chosen = [each for each in left if within(each.place, place)]
        left = [each for each in left if each not in chosen]
        total = sum(_size(each.members) for each in chosen)
        for each in chosen:
            share = math.ceil(_size(each.members) * weight / total)
            out.append(Group(each.place, each.members, each.priority, share or each.weight))
    return out


def distance(caller: str, place: str) -> int:
    """Return 0 for the same sub-zone, 1 for the zone, 2 for the region, 3 for elsewhere."""
    here, there = split(caller), split(place)
    return next((3 - level for level in (0, 1, 2) if here[level] != there[level]), 0)


def _ranked(
    caller: str, found: Sequence[Group], failover: Sequence[LocalityFailover]
) -> list[Group]:
    region = split(caller)[0]
    to = next((each.to for each in failover if each.from_ == region), None)

    def rank(group: Group) -> int:
        far = distance(caller, group.place)
        other = far == 3 and to is not None and split(group.place)[0] != to
        return group.priority * 5 + (4 if other else far)

    return _dense(found, rank)


def _by_labels(
    labels: Mapping[str, str], found: Sequence[Group], wanted: Sequence[str]
) -> list[Group]:
    """Split groups: the first label that differs from the caller's decides, later ones are nearer."""
    out: list[Group] = []
    for group in found:
        ranks: dict[int, list[Endpoint]] = {}
        for each in group.members:
            own = {**each.labels, **_labels(each.locality)}
            ranks.setdefault(_rank(labels, own, wanted), []).append(each)
        for rank, members in sorted(ranks.items()):
            out.append(Group(group.place, tuple(members), rank, _size(members)))
    return out


def _rank(caller: Mapping[str, str], own: Mapping[str, str], wanted: Sequence[str]) -> int:
    for number, text in enumerate(wanted):
        name, equals, value = text.partition("=")
        if (value if equals else caller.get(name, "")) != own.get(name, ""):
            return len(wanted) - number
    return 0


def _dense(
    found: Sequence[Group], rank: Callable[[Group], int] = lambda group: group.priority
) -> list[Group]:
    """Number the priorities from 0 without a gap, as Envoy wants them."""
    order = {value: number for number, value in enumerate(sorted({rank(each) for each in found}))}
    return [Group(each.place, each.members, order[rank(each)], each.weight) for each in found]
