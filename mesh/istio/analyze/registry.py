"""Registry: the hosts that are known, their ports, and who sees them.

A Service says with the annotation ``networking.istio.io/exportTo``, a ServiceEntry with ``exportTo``,
which namespaces know it; without either all do.  A VirtualService with ``exportTo`` works in those
namespaces, so its destinations must be known there.
Source: istio/istio ``pkg/config/analysis/analyzers/util/service_lookup.go``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from mesh.istio.analyze.hosts import HostSet, resolve
from mesh.istio.models.kubernetes import Service
from mesh.istio.models.service_entry import ServiceEntry
from mesh.istio.resource import Resource
from mesh.topology import DOMAIN_SUFFIX, ROOT_NAMESPACE, Topology

ALL, OWN = "*", "."
EXPORT_TO = "networking.istio.io/exportTo"


@dataclass(slots=True)
class _Scope:
    """The hosts that one namespace alone (or every namespace) sees."""

    ports: dict[str, tuple[int, ...]] = field(default_factory=dict)
    wild: HostSet | None = None

    def cover(self, host: str) -> tuple[int, ...] | None:
        """Return the ports of the pattern that covers a host."""
        if self.wild is None:
            self.wild = HostSet(each for each in self.ports if each.startswith("*"))
        best = self.wild.best(host)
        return self.ports[best] if best else None


class Registry:
    """Hosts by the namespaces that see them."""

    def __init__(self, by_kind: Mapping[str, list[Resource]], topology: Topology | None) -> None:
        self.hosts: dict[str, tuple[int, ...]] = {}
        self._scopes: dict[str, _Scope] = {}
        for service in topology.all_services if topology else ():
            ports = tuple(port.number for port in service.ports)
            self._add(service.hostname, ports, service.export_to, service.namespace)
        for each in by_kind.get("Service", ()):
            if isinstance(each.spec, Service):
                ports = tuple(port.port for port in each.spec.ports or ())
                said = each.annotations.get(EXPORT_TO, "")
                scopes = [part.strip() for part in said.split(",")] if said else []
                self._add(resolve(each.name, each.namespace), ports, scopes, each.namespace)
        for each in by_kind.get("ServiceEntry", ()):
            if isinstance(each.spec, ServiceEntry):
                ports = tuple(port.number for port in each.spec.ports or ())
                for name in each.spec.hosts:
                    host = resolve(name, each.namespace)
                    self._add(host, ports, each.spec.export_to or (), each.namespace)
        if topology and topology.gateway:
            host = f"{topology.gateway}.{ROOT_NAMESPACE}.svc.{DOMAIN_SUFFIX}"
            if host not in self.hosts:
                self._add(host, (), (), ROOT_NAMESPACE)

    def _add(
        self, host: str, ports: tuple[int, ...], export_to: Iterable[str], namespace: str
    ) -> None:
        self.hosts[host] = ports
        for scope in scopes_of(export_to, namespace):
            self._scopes.setdefault(scope, _Scope()).ports[host] = ports

    @cached_property
    def patterns(self) -> HostSet:
        """The known hosts, whoever sees them."""
        return HostSet(self.hosts)

    def ports(self, host: str, namespace: str, export_to: list[str]) -> tuple[int, ...] | None:
        """Return the ports of a host as a rule of a namespace sees it; None: it does not see it."""
        own = scopes_of(export_to or [OWN], namespace) - {ALL}
        for scope in (ALL, *own):
            found = self._scopes.get(scope)
            if found is not None and host in found.ports:
                return found.ports[host]
        for scope in (ALL, namespace):
            found = self._scopes.get(scope)
            wide = found.cover(host) if found is not None else None
            if wide is not None:
                return wide
        return None


def scopes_of(export_to: Iterable[str], namespace: str) -> set[str]:
    """Return the namespaces that see something; ``*`` for all of them."""
    scopes = {namespace if each == OWN else each for each in export_to} or {ALL}
    return {ALL} if ALL in scopes else scopes
