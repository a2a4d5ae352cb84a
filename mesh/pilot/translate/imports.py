"""Imports: what of the mesh one proxy takes in.

``exportTo`` says who may see a service or a VirtualService, the caller's Sidecar resource which of
those it wants: ``egress[].hosts`` are ``namespace/host``, ``./*``, ``*/*``, and an egress listener
with a port has that port for itself.
Pure decisions about one thing at a time, so that nothing has to look through the whole mesh.
Source: istio/istio ``pilot/pkg/model/sidecar.go``.  Shown by ``meshctl proxy-config cluster POD``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from mesh.istio.models.sidecar import IstioEgressListener
from mesh.pilot.translate import export_to, names
from mesh.pilot.translate.routing import Routing
from mesh.topology import Service

HTTP_PROXY = "HTTP_PROXY"
EVERY = "*"


@dataclass(frozen=True)
class Imports:
    """For callers of the namespace ``client``; ``egress`` None: everything that is exported."""

    client: str
    egress: Sequence[IstioEgressListener] | None = None

    def sees(self, service: Service) -> bool:
        """True when a service is exported to the caller."""
        return export_to.visible(service.export_to, service.namespace, self.client)

    def service(self, service: Service) -> Service | None:
        """Return a service with the ports that some listener imports; None without any."""
        if self.egress is None:
            return service
        numbers: set[int] = set()
        for listener, hosts in zip(self.egress, self._hosts, strict=True):
            if not any(names.covers(each, service.hostname) for each in _of(hosts, service)):
                continue
            port, all_ports = _port(listener), {each.number for each in service.ports}
            numbers |= {port} & all_ports if port else all_ports - self._taken
        if not numbers:
            return None
        ports = tuple(each for each in service.ports if each.number in numbers)
        return service if len(ports) == len(service.ports) else replace(service, ports=ports)

    def takes(self, routing: Routing) -> bool:
        """True when the caller obeys a VirtualService of the mesh: it imports one of its hosts.

        A VirtualService for ``*.example`` is imported with ``a.example``, a HTTPRoute is not.
        """
        if not export_to.visible(routing.export_to, routing.namespace, self.client):
            return False
        return self.egress is None or any(
            names.covers(pattern, host) or (not routing.gateway_api and names.covers(host, pattern))
            for hosts in self._hosts
            for pattern in _of(hosts, routing)
            for host in routing.hosts
        )

    def in_order(self, routings: Iterable[Routing]) -> list[Routing]:
        """Return what the caller sees: its own private ones first, then what is exported, then public."""
        seen = [
            each
            for each in routings
            if export_to.visible(each.export_to, each.namespace, self.client)
        ]
        return sorted(seen, key=self._rank)

    @cached_property
    def namespaces(self) -> frozenset[str] | None:
        """The namespaces of which more is imported than single names; None: all of them."""
        if self.egress is None:
            return None
        found = {
            namespace
            for hosts in self._hosts
            for namespace, patterns in hosts.items()
            if any(each.startswith(EVERY) for each in patterns)
        }
        return None if EVERY in found else frozenset(found)

    @cached_property
    def named(self) -> frozenset[str]:
        """The hosts that are imported by their name."""
        return frozenset(
            each
            for hosts in self._hosts
            for patterns in hosts.values()
            for each in patterns
            if not each.startswith(EVERY)
        )

    @cached_property
    def _hosts(self) -> list[dict[str, list[str]]]:
        """The host patterns of each listener by namespace."""
        return [_patterns(each, self.client) for each in self.egress or ()]

    @cached_property
    def _taken(self) -> set[int]:
        """The ports that some listener has for itself."""
        return {_port(each) for each in self.egress or ()} - {0}

    def _rank(self, routing: Routing) -> int:
        exported = export_to.namespaces(routing.export_to, routing.namespace)
        if routing.namespace == self.client and exported == {self.client}:
            return 0
        return 2 if export_to.PUBLIC in exported else 1


def _patterns(listener: IstioEgressListener, own: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for text in listener.hosts:
        namespace, _, host = text.partition("/")
        found.setdefault(own if namespace == "." else namespace, []).append(host)
    return found


def _of(hosts: dict[str, list[str]], thing: Service | Routing) -> list[str]:
    """Return what is imported from the namespace of something."""
    return [*hosts.get(thing.namespace, []), *hosts.get(EVERY, [])]


def _port(listener: IstioEgressListener) -> int:
    """Return the port that a listener has for itself; 0 for all that is left."""
    if listener.port is None or (listener.port.protocol or "").upper() == HTTP_PROXY:
        return 0
    return listener.port.number or 0
