"""Maglev: a table of prime size that the hosts fill in turn; a key goes to slot hash mod size.

In a DestinationRule: ``loadBalancer.consistentHash.maglev.tableSize`` (65537).  Look-ups cost
one division and the load is more even than on a ring; somewhat more keys move when a host
leaves.  Each host walks the table in an order of its own, made of two hashes of its key, and
takes the next free slot, so the table is the same in every sidecar and in Envoy.
See it with ``meshctl logs POD``: one value of the header, one ``upstream_host``.

Source: Envoy, ``source/extensions/load_balancing_policies/maglev/maglev_lb.cc``; Eisenbud and
others, "Maglev: a fast and reliable software network load balancer" (2016), listing 1.
"""

from __future__ import annotations

import xxhash

from mesh.sidecar.upstream.balancers.base import Settings
from mesh.sidecar.upstream.balancers.hashing import HashingBalancer
from mesh.sidecar.upstream.host import Host

DEFAULT_SIZE, MAXIMUM_SIZE = 65537, 5_000_011
_ALL_ONES = 2**64 - 1


class Maglev(HashingBalancer):
    """A table of ``size`` slots, which must be prime."""

    def __init__(
        self, settings: Settings, size: int = DEFAULT_SIZE, use_hostname: bool = False
    ) -> None:
        if size > MAXIMUM_SIZE or not _is_prime(size):
            raise ValueError(
                f"the table size of maglev must be a prime number up to {MAXIMUM_SIZE}, not {size}"
            )
        super().__init__(settings, use_hostname)
        self._size = size

    def build(self, weighted: list[tuple[Host, float]]) -> list[tuple[int, Host]]:
        """Let the hosts, sorted by key, take free slots in turn until the table is full."""
        size = self._size
        most = max(share for _, share in weighted)
        ordered = sorted(weighted, key=lambda item: self.key_of(item[0]))
        entries = [(number, host) for number, (host, _) in enumerate(ordered)]
        shares = [share for _, share in ordered]
        keys = [self.key_of(host).encode() for host, _ in ordered]
        skips = [xxhash.xxh64_intdigest(key, 1) % (size - 1) + 1 for key in keys]
        places = [xxhash.xxh64_intdigest(key) % size for key in keys]
        targets = [0.0] * len(entries)
        slots = [-1] * size
        filled = turn = 0
        while filled < size:
            turn += 1
            for number, skip in enumerate(skips):
                # A host of half the greatest weight takes a slot every other turn.
                if turn * shares[number] < targets[number]:
                    continue
                targets[number] += most
                slot = places[number]
                while slots[slot] >= 0:
                    slot = (slot + skip) % size
                slots[slot] = number
                places[number] = (slot + skip) % size
                filled += 1
                if filled == size:
                    break
        return [entries[number] for number in slots]

    def look_up(self, table: list[tuple[int, Host]], value: int, attempt: int) -> Host:
        """Return the slot of ``value``; a further pick turns most of its bits round first."""
        if attempt > 0:
            value ^= _ALL_ONES - attempt + 1
        return table[value % self._size][1]


def _is_prime(number: int) -> bool:
    if number < 2:
        return False
    divisor = 2
    while divisor * divisor <= number:
        if number % divisor == 0:
            return False
        divisor += 1
    return True
