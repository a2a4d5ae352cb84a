"""Virtual addresses: what the name of a service leads to, where applications use no proxy.

A Service of Kubernetes has a clusterIP, behind which nobody sits; a ServiceEntry has its
``addresses``, or Istio gives it one of 240.240.0.0/16 (``ISTIO_META_DNS_AUTO_ALLOCATE``).  The
sidecar's DNS answers with them, iptables brings the connection to the sidecar, and the address
that was asked for says which service is meant, also when the bytes do not.  An address follows
from the names alone, so that everybody who knows them finds the same one.
Source: istio/istio ``pilot/pkg/serviceregistry/serviceentry`` (autoAllocateIPs).
Shown by ``meshctl proxy-config listener POD`` of a mesh in containers.
"""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Iterable

SERVICES = ipaddress.IPv4Network("10.96.0.0/16")
"""Range of the addresses of Services, as kubeadm has it."""
ENTRIES = ipaddress.IPv4Network("240.240.0.0/16")
"""Range of the addresses of ServiceEntries, Istio's."""


def allocate(hostnames: Iterable[str], network: ipaddress.IPv4Network) -> dict[str, str]:
    """Return an address of ``network`` for each name; ValueError when there are too many names."""
    wanted = sorted(set(hostnames))
    size = network.num_addresses - 2
    if len(wanted) > size:
        raise ValueError(f"{network} has no addresses for {len(wanted)} names")
    taken: set[int] = set()
    found: dict[str, str] = {}
    for name in wanted:
        place = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8]) % size
        while place in taken:
            place = (place + 1) % size
        taken.add(place)
        found[name] = str(network[place + 1])
    return found


def of_services(hostnames: Iterable[str]) -> dict[str, str]:
    """Return the address of each Service."""
    return allocate(hostnames, SERVICES)
