"""What ring hash and maglev share: a table per set of hosts, and what happens without a key.

Both map the request's hash to a host so that the same key reaches the same host while the set
stays, and few keys move when it changes.  The key of a host is its ``hash_key`` (here the pod's
name) or its address.  Without a key in the request the host is drawn at random.  A retry does
not follow the hash again: each further pick moves on in the table.

Source: Envoy, ``source/extensions/load_balancing_policies/common/thread_aware_lb_impl.cc``
(``normalizeWeights``, ``hashKey``, ``LoadBalancerImpl::chooseHost``).
"""

from __future__ import annotations

import random
from abc import abstractmethod
from collections.abc import Sequence

from mesh.sidecar.upstream.balancers.base import Balancer, Clock, Context, Group, Settings
from mesh.sidecar.upstream.host import Host


class HashingBalancer(Balancer):
    """Builds a table for each set of hosts in play, once, and looks hashes up in it."""

    def __init__(self, settings: Settings, use_hostname: bool = False) -> None:
        super().__init__(settings)
        self._use_hostname = use_hostname
        self._tables: dict[tuple[Host, ...], list[tuple[int, Host]]] = {}

    def update(self, hosts: Sequence[Host]) -> None:
        """Forget the tables of the old set."""
        super().update(hosts)
        self._tables.clear()

    def key_of(self, host: Host) -> str:
        """Return what of ``host`` is hashed: its hash key, its hostname if asked for, its address."""
        if host.hash_key:
            return host.hash_key
        return host.hostname if self._use_hostname and host.hostname else host.key

    def table(self, hosts: tuple[Host, ...]) -> list[tuple[int, Host]]:
        """Return the table for ``hosts``; a set that was in play before is not built again."""
        table = self._tables.get(hosts)
        if table is None:
            if len(self._tables) >= 64:
                self._tables.clear()
            total = sum(host.weight for host in hosts)
            table = self.build([(host, host.weight / total) for host in hosts])
            self._tables[hosts] = table
        return table

    def pick(
        self, group: Group, context: Context, attempt: int, rng: random.Random, clock: Clock
    ) -> Host | None:
        """Look the request's hash up, or a random one."""
        value = rng.getrandbits(64) if context.hash is None else context.hash
        key = "no key in the request: a random hash" if context.hash is None else "the key's hash"
        context.why = f"consistent hashing: {key} {value:016x}"
        return self.look_up(self.table(group.hosts), value, attempt)

    @abstractmethod
    def build(self, weighted: list[tuple[Host, float]]) -> list[tuple[int, Host]]:
        """Build the table for hosts with their shares (they sum to 1)."""

    @abstractmethod
    def look_up(self, table: list[tuple[int, Host]], value: int, attempt: int) -> Host:
        """Find the host for the 64-bit ``value``."""
