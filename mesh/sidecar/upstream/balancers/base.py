"""What all balancers share: which hosts are in play at all, before the algorithm picks one.

In a real mesh: ``outlierDetection.minHealthPercent`` sets the panic threshold, and
``localityLbSetting`` gives endpoints priorities (failover) and localities weights.  A priority
takes as much load as its healthy hosts can carry: health = 140 % x healthy / all, at most
100 %; what is left spills to the next one.  When fewer hosts than the panic threshold are
healthy, health is ignored and all hosts of the priority are used (Istio's threshold 0: never).
See it with ``meshctl proxy-config endpoints POD``.

Source: Envoy, ``source/extensions/load_balancing_policies/common/load_balancer_impl.cc``
(``recalculatePerPriorityState``, ``isHostSetInPanic``), "Priority levels", "Panic threshold".
"""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass, field

from envoy_data_plane.envoy.config.cluster.v3 import Cluster

from mesh.sidecar.upstream.host import DEGRADED, HEALTHY, Host

Clock = Callable[[], float]


@dataclass(slots=True)
class Context:
    """What the request gives to a choice.

    ``hash`` is the 64-bit hash of the route's hash policy (None: no key in this request).
    ``destination`` is where the client wanted to go, for clusters of type ORIGINAL_DST.
    ``avoid`` are hosts that a retry should not take; ``attempts`` how often to pick again.
    The choice leaves its reasons: ``why`` in words, and the hosts that were not in play (``out``).
    """

    hash: int | None = None
    avoid: Container[Host] = field(default_factory=tuple)
    attempts: int = 1
    why: str = ""
    out: tuple[Host, ...] = ()
    destination: tuple[str, int] | None = None


@dataclass(frozen=True, slots=True)
class Group:
    """Hosts among which one choice is made: a priority's, or one locality's, and why."""

    name: tuple[int, str]
    hosts: tuple[Host, ...]
    panic: bool = False


@dataclass(frozen=True, slots=True)
class Settings:
    """Thresholds of a cluster, in percent; ``factor`` is the overprovisioning factor."""

    panic_threshold: float = 50.0
    factor: int = 140
    locality_weighted: bool = False
    fail_on_panic: bool = False


def settings_of(cluster: Cluster) -> Settings:
    """Read the common part of the cluster's load balancing."""
    common = cluster.common_lb_config
    threshold = 50.0
    weighted = fail = False
    if common is not None:
        if common.healthy_panic_threshold is not None:
            threshold = common.healthy_panic_threshold.value
        weighted = common.locality_weighted_lb_config is not None
        zone = common.zone_aware_lb_config
        fail = zone is not None and zone.fail_traffic_on_panic
    return Settings(panic_threshold=threshold, locality_weighted=weighted, fail_on_panic=fail)


class Balancer(ABC):
    """Chooses a host.  ``choose`` is given all hosts; their health decides who is in play."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._hosts: Sequence[Host] = ()

    def update(self, hosts: Sequence[Host]) -> None:
        """Take note of a new set of hosts: tables and schedules are built again when needed."""
        self._hosts = hosts

    def choose(
        self, hosts: Sequence[Host], context: Context, rng: random.Random, clock: Clock
    ) -> Host | None:
        """Choose a host, or None when there is none (503 UH, ``no_healthy_upstream``).

        A host in ``context.avoid`` is picked again, ``context.attempts`` times at most; then
        the last pick stands, so a retry in a cluster of one host goes to that host.
        """
        host = None
        for attempt in range(max(1, context.attempts)):
            group = self.group(hosts, context, rng)
            if group is None or not group.hosts:
                return None
            host = self.pick(group, context, attempt, rng, clock)
            if len(group.hosts) == 1:
                context.why = "the only endpoint in play"
            if host is None or host not in context.avoid:
                return host
            context.why += ", which has failed already"
        return host

    def group(self, hosts: Sequence[Host], context: Context, rng: random.Random) -> Group | None:
        """Draw the priority, then (locality weighted) the locality."""
        if not self.settings.locality_weighted:
            for host in hosts:
                if host.priority or not host.available:
                    break
            else:  # the usual case: one priority, everybody healthy
                return Group((0, HEALTHY), tuple(hosts)) if hosts else None
        value = (rng.getrandbits(64) if context.hash is None else context.hash) % 100
        chosen = choose_priority(hosts, self.settings, value)
        if chosen is None:
            return None
        if self.settings.locality_weighted and not chosen.panic:
            chosen = _locality(chosen, hosts, self.settings, rng)
        context.out = tuple(host for host in hosts if host not in chosen.hosts)
        return chosen

    @abstractmethod
    def pick(
        self, group: Group, context: Context, attempt: int, rng: random.Random, clock: Clock
    ) -> Host | None:
        """Pick one host of ``group`` (not empty); ``attempt`` counts the picks from 0."""


def priority_loads(
    hosts: Sequence[Host], settings: Settings
) -> tuple[list[int], list[int], list[bool]]:
    """Percent of load of each priority by healthy hosts, by degraded hosts, and its panic.

    The loads sum to 100 unless there is no host at all.
    """
    count = max((host.priority for host in hosts), default=-1) + 1
    sets = [[host for host in hosts if host.priority == number] for number in range(count)]
    health = [_health(group, HEALTHY, settings.factor) for group in sets]
    degraded = [_health(group, DEGRADED, settings.factor) for group in sets]
    total = min(sum(health) + sum(degraded), 100)
    panic = [_in_panic(group, settings.panic_threshold) for group in sets]
    if total == 0:
        return _nobody(sets, settings.panic_threshold > 0)
    left = 100
    loads = []
    for value in health:
        share = min(left, value * 100 // total)
        loads.append(share)
        left -= share
    degraded_loads = []
    for value in degraded:
        share = min(left, value * 100 // total)
        degraded_loads.append(share)
        left -= share
    if left:  # rounding: the first priority that has load takes the rest
        for group_loads in (loads, degraded_loads):
            taker = next((number for number, load in enumerate(group_loads) if load), None)
            if taker is not None:
                group_loads[taker] += left
                break
    if total == 100:
        # Enough capacity overall: no priority panics on its own.
        panic = [False] * count
    return loads, degraded_loads, panic


def _nobody(sets: list[list[Host]], panic: bool) -> tuple[list[int], list[int], list[bool]]:
    """Loads when no host is available: with panic, spread by the number of hosts."""
    count = len(sets)
    everybody = sum(len(group) for group in sets)
    first = next((number for number, group in enumerate(sets) if group), None)
    loads = [0] * count
    if first is not None:
        if panic:
            loads = [100 * len(group) // everybody for group in sets]
        loads[first] += 100 - sum(loads)
    return loads, [0] * count, [panic] * count


def choose_priority(hosts: Sequence[Host], settings: Settings, value: int) -> Group | None:
    """Priority and health class for ``value`` in [0, 100)."""
    loads, degraded_loads, panic = priority_loads(hosts, settings)
    reached = 0
    for health, group_loads in ((HEALTHY, loads), (DEGRADED, degraded_loads)):
        for number, load in enumerate(group_loads):
            reached += load
            if value < reached:
                members = [host for host in hosts if host.priority == number]
                if panic[number]:
                    everybody = () if settings.fail_on_panic else tuple(members)
                    return Group((number, "panic"), everybody, panic=True)
                chosen = tuple(host for host in members if host.coarse_health == health)
                return Group((number, health), chosen)
    return None


def _health(group: list[Host], health: str, factor: int) -> int:
    if not group:
        return 0
    return min(100, factor * sum(host.coarse_health == health for host in group) // len(group))


def _in_panic(group: list[Host], threshold: float) -> bool:
    if not group:
        return False
    usable = sum(host.coarse_health in (HEALTHY, DEGRADED) for host in group)
    return 100.0 * usable / len(group) < threshold


def _locality(
    chosen: Group, hosts: Sequence[Host], settings: Settings, rng: random.Random
) -> Group:
    """Draw a locality by its weight, lowered in proportion when its hosts are unhealthy."""
    priority, health = chosen.name
    weights: dict[tuple[str, str, str], float] = {}
    for locality in dict.fromkeys(host.locality for host in chosen.hosts):
        all_hosts = [
            host for host in hosts if (host.priority, host.locality) == (priority, locality)
        ]
        there = sum(host.locality == locality for host in chosen.hosts)
        share = min(1.0, settings.factor / 100 * there / len(all_hosts))
        weights[locality] = all_hosts[0].locality_weight * share
    total = sum(weights.values())
    if total <= 0:
        return Group(chosen.name, ())
    value = rng.random() * total
    drawn = next(iter(weights))
    for locality, weight in weights.items():
        drawn = locality
        value -= weight
        if value < 0:
            break
    members = tuple(host for host in chosen.hosts if host.locality == drawn)
    return Group((priority, f"{health} {'/'.join(drawn)}"), members)
