"""EDF: the schedule that spreads weighted hosts evenly ("earliest deadline first").

A host of weight w gets a turn every 1/w units of time, so weights 3:1 give A A B A, not AAAB.
Envoy's round robin and least request use it as soon as weights differ or a warm-up
(``warmupDurationSecs``, slow start) is configured; with equal weights both need no schedule.
During the warm-up a host's weight grows with its age, from 10 % of it (``min_weight_percent``)
to all of it, along a straight line when the aggression is 1.

Source: Envoy, ``source/common/upstream/edf_scheduler.h``,
``EdfLoadBalancerBase::applySlowStartFactor``, "Slow start mode".
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from envoy_data_plane.envoy.config.cluster.v3 import ClusterSlowStartConfig

from mesh.sidecar.upstream.host import Host


@dataclass(frozen=True, slots=True)
class SlowStart:
    """Warm-up: ``window`` in seconds (0: none), ``aggression``, least share in [0, 1]."""

    window: float = 0.0
    aggression: float = 1.0
    minimum: float = 0.1

    def factor(self, host: Host, now: float) -> float:
        """Share of its weight that ``host`` has ``now``."""
        if self.window <= 0 or host.added_at is None:
            return 1.0
        age = now - host.added_at
        if age >= self.window or not host.available:
            return 1.0
        share = max(age, 0.001) / self.window
        return max(float(share ** (1.0 / self.aggression)), self.minimum)


def slow_start_of(config: ClusterSlowStartConfig | None) -> SlowStart:
    """Read a slow start configuration; absent means none."""
    if config is None or config.slow_start_window is None:
        return SlowStart()
    return SlowStart(
        window=config.slow_start_window.total_seconds(),
        aggression=config.aggression.default_value if config.aggression else 1.0,
        minimum=config.min_weight_percent.value / 100 if config.min_weight_percent else 0.1,
    )


class Schedule:
    """An EDF schedule of hosts.  ``skip`` turns are taken at once, so that not every sidecar
    begins with the same host.
    """  # noqa: D205

    __slots__ = ("_heap", "_now", "_order")

    def __init__(
        self, hosts: Sequence[Host], weight: Callable[[Host], float], skip: int = 0
    ) -> None:
        self._heap: list[tuple[float, int, Host]] = []
        self._now = 0.0
        self._order = 0
        for host in hosts:
            self._add(host, weight(host))
        for _ in range(skip):
            self.next(weight)

    def _add(self, host: Host, weight: float) -> None:
        heapq.heappush(self._heap, (self._now + 1.0 / weight, self._order, host))
        self._order += 1

    def next(self, weight: Callable[[Host], float]) -> Host:
        """Return the host whose turn it is; it queues again with the weight that it has now."""
        deadline, _, host = heapq.heappop(self._heap)
        self._now = deadline
        self._add(host, weight(host))
        return host
