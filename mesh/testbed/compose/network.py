"""Network: an address range for each mesh that nobody else on this machine uses.

Docker's own pools hold some thirty networks; a course runs more meshes than that.  So each mesh
takes a /24 out of 10.64.0.0/10, which must be free of other Docker networks and of routes, and is
no part of the range of virtual addresses.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from random import Random

from mesh.pilot import virtual_address

POOL = ipaddress.ip_network("10.64.0.0/10")
SIZE = 24
FIRST_POD = 10
"""Host number of the first pod; the lower ones are Docker's."""


@dataclass(frozen=True, slots=True)
class Subnet:
    """A mesh's network, ``10.77.3.0/24``."""

    text: str

    @property
    def gateway(self) -> str:
        """The address of this machine in it."""
        return str(ipaddress.ip_network(self.text)[1])

    @property
    def others(self) -> str:
        """The part of it from which Docker may give addresses to what is no pod."""
        return f"{ipaddress.ip_network(self.text)[0]}/29"

    def address(self, number: int) -> str:
        """Return the address of pod ``number``; addresses are used again after 240 pods."""
        network = ipaddress.ip_network(self.text)
        return str(network[FIRST_POD + number % (network.num_addresses - FIRST_POD - 2)])


def choose(taken: Iterable[str], rng: Random) -> Subnet:
    """Return a subnet that overlaps none of ``taken``; ValueError when there is none left."""
    used = [ipaddress.ip_network(each, strict=False) for each in taken]
    used.append(virtual_address.SERVICES)
    count = 2 ** (SIZE - POOL.prefixlen)
    first = rng.randrange(count)
    for number in range(count):
        start = int(POOL.network_address) + ((first + number) % count << (32 - SIZE))
        found = ipaddress.ip_network((start, SIZE))
        if not any(found.version == each.version and found.overlaps(each) for each in used):
            return Subnet(str(found))
    raise ValueError(f"no /{SIZE} network of {POOL} is free")


def routes(table: Path = Path("/proc/net/route")) -> list[str]:
    """Return the networks that this machine has routes to, without the default route."""
    if not table.exists():
        return []
    found = []
    for line in table.read_text().splitlines()[1:]:
        fields = line.split()
        address, mask = (int.from_bytes(bytes.fromhex(fields[n]), "little") for n in (1, 7))
        if mask:
            found.append(f"{ipaddress.ip_address(address)}/{ipaddress.ip_address(mask)}")
    return found
