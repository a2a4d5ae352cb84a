"""Least request: look at two random hosts and take the less busy one.

In a DestinationRule: ``trafficPolicy.loadBalancer.simple: LEAST_REQUEST`` (``LEAST_CONN`` is
its old name); Istio's default since 1.14.  Two random choices come close to the true minimum
without a scan and without all clients rushing at the same idle host.  Busy means: requests of
this sidecar in flight.  With different weights an EDF schedule is used, each weight divided by
(requests in flight + 1).
See it with ``meshctl logs POD``: a slow version gets fewer requests.

Source: Envoy, ``source/extensions/load_balancing_policies/least_request/least_request_lb.cc``
(``unweightedHostPickNChoices``, ``hostWeight``).
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from mesh.sidecar.upstream.balancers.base import Balancer, Clock, Context, Group, Settings
from mesh.sidecar.upstream.balancers.edf import Schedule, SlowStart
from mesh.sidecar.upstream.host import Host


class LeastRequest(Balancer):
    """``choice_count`` random choices (2), or EDF with ``bias`` (1.0) when weights differ."""

    def __init__(
        self,
        settings: Settings,
        choice_count: int = 2,
        bias: float = 1.0,
        slow_start: SlowStart | None = None,
    ) -> None:
        super().__init__(settings)
        self._choice_count = choice_count
        self._bias = bias
        self._slow_start = slow_start or SlowStart()
        self._schedules: dict[tuple[int, str], tuple[tuple[Host, ...], Schedule]] = {}

    def update(self, hosts: Sequence[Host]) -> None:
        """Forget the schedules of the old set."""
        super().update(hosts)
        self._schedules.clear()

    def pick(
        self, group: Group, context: Context, attempt: int, rng: random.Random, clock: Clock
    ) -> Host | None:
        """Draw ``choice_count`` hosts and take the one with the fewest requests in flight."""
        hosts = group.hosts
        first = hosts[0].weight
        if self._slow_start.window <= 0 and all(host.weight == first for host in hosts):
            best = hosts[rng.randrange(len(hosts))]
            for _ in range(self._choice_count - 1):
                other = hosts[rng.randrange(len(hosts))]
                if other.active_requests < best.active_requests:
                    best = other
            context.why = (
                f"least request: {best.active_requests} under way, "
                f"the fewest of {self._choice_count} draws among {len(hosts)}"
            )
            return best
        now = clock() if self._slow_start.window > 0 else 0.0

        def weight(host: Host) -> float:
            value = float(host.weight)
            if self._bias == 1.0:
                value /= host.active_requests + 1
            elif self._bias > 0:
                value /= (host.active_requests + 1) ** self._bias
            return value * self._slow_start.factor(host, now)

        known = self._schedules.get(group.name)
        if known is None or known[0] != hosts:
            known = (hosts, Schedule(hosts, weight, rng.randrange(len(hosts))))
            self._schedules[group.name] = known
        context.why = f"least request by weight, {len(hosts)} hosts"
        return known[1].next(weight)
