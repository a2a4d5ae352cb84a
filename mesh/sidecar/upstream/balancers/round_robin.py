"""Round robin: each host in turn; with weights each as often as its weight says.

In a DestinationRule: ``trafficPolicy.loadBalancer.simple: ROUND_ROBIN`` (Istio's default up to
1.13); endpoint weights come from WorkloadEntry ``weight``.  Every sidecar takes turns of its
own and begins at a random host, so counts of two clients do not add up to a strict rotation.
See it with ``meshctl logs POD`` (``upstream_host``).

Source: Envoy, ``source/extensions/load_balancing_policies/round_robin/round_robin_lb.h``.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from mesh.sidecar.upstream.balancers.base import Balancer, Clock, Context, Group, Settings
from mesh.sidecar.upstream.balancers.edf import Schedule, SlowStart
from mesh.sidecar.upstream.host import Host

_MAX_SKIP = 256


class RoundRobin(Balancer):
    """Turns by index while all weights are equal, by an EDF schedule otherwise."""

    def __init__(self, settings: Settings, slow_start: SlowStart | None = None) -> None:
        super().__init__(settings)
        self._slow_start = slow_start or SlowStart()
        self._turns: dict[tuple[int, str], int] = {}
        self._schedules: dict[tuple[int, str], tuple[tuple[Host, ...], Schedule]] = {}

    def update(self, hosts: Sequence[Host]) -> None:
        """Forget the schedules; the turn itself goes on."""
        super().update(hosts)
        self._schedules.clear()

    def pick(
        self, group: Group, context: Context, attempt: int, rng: random.Random, clock: Clock
    ) -> Host | None:
        """Take the next turn of this group."""
        hosts = group.hosts
        first = hosts[0].weight
        if self._slow_start.window <= 0 and all(host.weight == first for host in hosts):
            turn = self._turns.get(group.name)
            if turn is None:
                turn = rng.getrandbits(32)
            self._turns[group.name] = turn + 1
            context.why = f"round robin: turn {turn % len(hosts) + 1} of {len(hosts)}"
            return hosts[turn % len(hosts)]
        now = clock() if self._slow_start.window > 0 else 0.0

        def weight(host: Host) -> float:
            return host.weight * self._slow_start.factor(host, now)

        known = self._schedules.get(group.name)
        if known is None or known[0] != hosts:
            skip = rng.randrange(min(len(hosts), _MAX_SKIP))
            known = (hosts, Schedule(hosts, weight, skip))
            self._schedules[group.name] = known
        context.why = f"round robin by weight, {len(hosts)} hosts"
        return known[1].next(weight)
