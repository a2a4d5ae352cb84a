"""Stats: the sidecar's counters and gauges under Envoy's names.

In a real mesh ``istioctl proxy-config`` and Prometheus read them; here ``/stats?format=json``.

Source: Envoy, "Cluster manager statistics", "HTTP connection manager statistics".
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable


class Stats:
    """Counters by full name, and gauges that are asked when somebody looks."""

    def __init__(self) -> None:
        self.counters: defaultdict[str, int] = defaultdict(int)
        self._gauges: list[Callable[[], dict[str, int]]] = []

    def inc(self, name: str, by: int = 1) -> None:
        """Add to the counter ``name``."""
        self.counters[name] += by

    def add_gauges(self, source: Callable[[], dict[str, int]]) -> None:
        """Register ``source``, which returns gauges by name."""
        self._gauges.append(source)

    def snapshot(self) -> dict[str, int]:
        """Return everything by name, sorted."""
        values = dict(self.counters)
        for source in self._gauges:
            values.update(source())
        return dict(sorted(values.items()))
