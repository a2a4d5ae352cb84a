"""Ring hash: hosts own many points on a ring of hashes; a key goes to the next point.

In a DestinationRule: ``loadBalancer.consistentHash`` (``httpHeaderName``, ``httpCookie``,
``useSourceIp``, ``httpQueryParameterName``), with ``minimumRingSize`` (1024) or ``ringHash``.
When a host leaves, hardly any keys but its own move.  Point i of a host is the xxHash64 of
``<host key>_<i>``, so the ring is the same in every sidecar and in Envoy.
See it with ``meshctl logs POD``: one value of the header, one ``upstream_host``.

Source: Envoy, ``source/extensions/load_balancing_policies/ring_hash/ring_hash_lb.cc``.
"""

from __future__ import annotations

import math
from bisect import bisect_left

import xxhash

from mesh.sidecar.upstream.balancers.base import Settings
from mesh.sidecar.upstream.balancers.hashing import HashingBalancer
from mesh.sidecar.upstream.host import Host

DEFAULT_MINIMUM, DEFAULT_MAXIMUM = 1024, 8 * 1024 * 1024


class RingHash(HashingBalancer):
    """A ring of at least ``minimum`` points and at most ``maximum``."""

    def __init__(
        self,
        settings: Settings,
        minimum: int = DEFAULT_MINIMUM,
        maximum: int = DEFAULT_MAXIMUM,
        use_hostname: bool = False,
    ) -> None:
        if minimum > maximum:
            raise ValueError(
                f"ring hash: minimum_ring_size ({minimum}) > maximum_ring_size ({maximum})"
            )
        super().__init__(settings, use_hostname)
        self._minimum = minimum
        self._maximum = maximum

    def build(self, weighted: list[tuple[Host, float]]) -> list[tuple[int, Host]]:
        """Give each host points in proportion to its share; the smallest gets a whole number."""
        least = min(share for _, share in weighted)
        scale = min(math.ceil(least * self._minimum) / least, float(self._maximum))
        ring: list[tuple[int, Host]] = []
        target = 0.0
        for host, share in weighted:
            key = self.key_of(host)
            target += scale * share
            number = 0
            while len(ring) < target:
                ring.append((xxhash.xxh64_intdigest(f"{key}_{number}".encode()), host))
                number += 1
        ring.sort(key=lambda point: point[0])
        return ring

    def look_up(self, table: list[tuple[int, Host]], value: int, attempt: int) -> Host:
        """Return the first point at or after ``value``, round the end; ``attempt`` points further on."""
        index = bisect_left(table, value, key=lambda point: point[0])
        return table[(index + attempt) % len(table)][1]
