"""Random: any healthy host, all equally likely, whatever its weight.

In a DestinationRule: ``trafficPolicy.loadBalancer.simple: RANDOM``.  Without coordination
between the clients it avoids the bunching that many round robins in step produce.
See it with ``meshctl logs POD`` (``upstream_host``).

Source: Envoy, ``source/extensions/load_balancing_policies/random/random_lb.cc``.
"""

from __future__ import annotations

import random

from mesh.sidecar.upstream.balancers.base import Balancer, Clock, Context, Group
from mesh.sidecar.upstream.host import Host


class Random(Balancer):
    """One draw a choice."""

    def pick(
        self, group: Group, context: Context, attempt: int, rng: random.Random, clock: Clock
    ) -> Host | None:
        """Draw one of the hosts."""
        context.why = f"random: one of {len(group.hosts)}"
        return group.hosts[rng.randrange(len(group.hosts))]
