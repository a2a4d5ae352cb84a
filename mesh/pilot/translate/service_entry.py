"""ServiceEntry: a host that Kubernetes does not know becomes one that the mesh knows.

With it an outside host (``location: MESH_EXTERNAL``) or a machine without Kubernetes
(``MESH_INTERNAL``) has clusters, so VirtualServices and DestinationRules work for it, and
REGISTRY_ONLY lets it through.  ``resolution`` says where its addresses come from: STATIC from
``endpoints``, DNS from looking ``endpoints`` or the hosts themselves up, NONE from the caller, who
has looked it up already.  ``workloadSelector`` takes pods and WorkloadEntries of the namespace.
Locally nothing leaves the machine: the topology's ``world`` is the DNS of outside names, an
address that is not in it refuses connections.  A name nobody knows has no endpoint: 503 UH, as
after a failed look-up by Envoy.  A Kubernetes Service of the same host goes before the entry.
Source: istio/istio ``pilot/pkg/serviceregistry/serviceentry``.
Shown by ``meshctl proxy-config cluster POD`` and ``meshctl proxy-config endpoint POD``.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from mesh.citadel.identity import spiffe_id
from mesh.istio.models.service_entry import ServiceEntry
from mesh.istio.models.workload_entry import WorkloadEntry
from mesh.pilot.registry import Endpoint, Registry
from mesh.pilot.translate import names
from mesh.topology import Port, Service

World = Mapping[str, tuple[str, int]]
"""Outside ``host:port`` -> address and port on this machine."""
NOWHERE = ("127.0.0.1", 1)
"""Stands for addresses that cannot be reached: nobody listens there, so connections are refused."""


class Placed(Protocol):
    """A resource with its place (``view.Config``)."""

    @property
    def name(self) -> str:
        """``metadata.name``."""

    @property
    def namespace(self) -> str:
        """``metadata.namespace``."""

    @property
    def spec(self) -> Any:
        """Its model."""


@dataclass(frozen=True, slots=True)
class Part:
    """What one ServiceEntry says about where its hosts are.

    ``targets``: port -> targetPort; ``names``: its ``subjectAltNames``.
    """

    namespace: str
    endpoints: tuple[WorkloadEntry, ...]
    selector: Mapping[str, str] | None
    targets: Mapping[int, int]
    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class EntryService(Service):
    """A host of one or several ServiceEntries, as a service; ``external``: outside of the mesh."""

    host: str = ""
    external: bool = True
    resolution: str = "NONE"
    addresses: tuple[str, ...] = ()
    parts: tuple[Part, ...] = ()

    @property
    def hostname(self) -> str:
        """The host itself, which may begin with ``*.``."""
        return self.host


@dataclass(frozen=True, slots=True)
class Places:
    """Where endpoints can be: pods and services, WorkloadEntries, the outside world."""

    registry: Registry
    entries: tuple[Placed, ...] = ()
    world: World = field(default_factory=dict)


def service(entries: Iterable[Placed], host: str) -> EntryService | None:
    """Return the service that ServiceEntries make of a host; several entries of it are joined."""
    found: EntryService | None = None
    for each in entries:
        new = _service(host, each.namespace, each.spec)
        found = new if found is None else _joined(found, new)
    return found


def _service(host: str, namespace: str, spec: ServiceEntry) -> EntryService:
    ports = spec.ports or []
    selector = spec.workload_selector
    part = Part(
        namespace,
        tuple(spec.endpoints or ()),
        (selector.labels or {}) if selector else None,
        {each.number: each.target_port for each in ports if each.target_port},
        tuple(spec.subject_alt_names or ()),
    )
    return EntryService(
        name=host,
        namespace=namespace,
        ports=tuple(
            Port(each.number, each.name, (each.protocol or "tcp").lower()) for each in ports
        ),
        export_to=tuple(spec.export_to or ()),
        host=host,
        external=spec.location != "MESH_INTERNAL",
        resolution=spec.resolution or "NONE",
        addresses=tuple(each for each in spec.addresses or [] if "/" not in each),
        parts=(part,),
    )


def _joined(old: EntryService, new: EntryService) -> EntryService:
    known = {each.number for each in old.ports}
    return EntryService(
        name=old.name,
        namespace=old.namespace,
        ports=(*old.ports, *(each for each in new.ports if each.number not in known)),
        export_to=old.export_to,
        host=old.host,
        external=old.external,
        resolution=old.resolution,
        addresses=tuple(dict.fromkeys((*old.addresses, *new.addresses))),
        parts=(*old.parts, *new.parts),
    )


def endpoints(
    service: EntryService, number: int, labels: Mapping[str, str] | None, places: Places
) -> tuple[Endpoint, ...]:
    """Return what is behind a port, with these labels; empty when no name could be looked up."""
    port = next((each for each in service.ports if each.number == number), None)
    if port is None:
        return ()
    wanted = (labels or {}).items()
    found: dict[tuple[str, int], Endpoint] = {}
    for part in service.parts:
        for each in _of_part(service, part, port, places):
            if wanted <= each.labels.items():
                found.setdefault((each.address, each.port), each)
    return tuple(found.values())


def identities(service: EntryService, places: Places) -> list[str]:
    """Return who may answer for a host in the mesh: ``subjectAltNames``, else the selected accounts."""
    told = {name for part in service.parts for name in part.names}
    if told or service.external:
        return sorted(told)
    found: set[str] = set()
    for part in service.parts:
        if part.selector is None:
            continue
        wanted = part.selector.items()
        found |= {
            spiffe_id(part.namespace, pod.service_account)
            for pod in places.registry.pods_in(part.namespace)
            if wanted <= pod.labels.items()
        }
        found |= {
            spiffe_id(each.namespace, each.spec.service_account or "default")
            for each in places.entries
            if each.namespace == part.namespace and wanted <= (each.spec.labels or {}).items()
        }
    return sorted(found)


def _of_part(service: EntryService, part: Part, port: Port, places: Places) -> Iterable[Endpoint]:
    target = part.targets.get(port.number, port.number)
    if part.selector is not None:
        yield from _selected(part, part.selector, port, target, places)
        return
    if part.endpoints:
        for each in part.endpoints:
            yield from _located(each, (each.ports or {}).get(port.name, target), "", places)
        return
    if service.resolution == "STATIC":
        return
    if service.host.startswith("*"):
        # Whoever plays one of these names plays all of them: the Host header tells which.
        for key in places.world:
            name, _, number = key.rpartition(":")
            if int(number) == target and names.covers(service.host, name):
                yield from _located(WorkloadEntry(address=name), target, "", places)
                return
        return
    yield from _located(WorkloadEntry(address=service.host), target, "", places)


def _selected(
    part: Part, selector: Mapping[str, str], port: Port, target: int, places: Places
) -> Iterable[Endpoint]:
    for pod in places.registry.pods_in(part.namespace):
        if selector.items() <= pod.labels.items():
            listening = pod.ports.get(target)
            if listening is not None:
                yield Endpoint(pod.address, listening, pod.name, pod.labels, pod.locality)
    for each in places.entries:
        spec: WorkloadEntry = each.spec
        if each.namespace == part.namespace and selector.items() <= (spec.labels or {}).items():
            yield from _located(spec, (spec.ports or {}).get(port.name, target), each.name, places)


def _located(entry: WorkloadEntry, port: int, name: str, places: Places) -> Iterable[Endpoint]:
    """Return the endpoints at an entry's address; a service of the mesh may be meant by it."""
    address = (entry.address or "").lower()
    if places.registry.service(address) is not None:
        for each in places.registry.endpoints(address, port):
            # What stands in the entry counts: whose pods answer there nobody knows.
            yield replace(each, labels=entry.labels or {})
        return
    found = _lookup(address, port, places.world)
    if found is not None:
        yield Endpoint(
            *found,
            name or (address if address.startswith("unix:") else f"{address}:{port}"),
            entry.labels or {},
            entry.locality or "",
            entry.weight or 0,
        )


def _lookup(address: str, port: int, world: World) -> tuple[str, int] | None:
    """Return where an address is on this machine; None for a name that nobody knows."""
    if address.startswith("unix://"):
        return address.removeprefix("unix://"), 0
    if f"{address}:{port}" in world:
        return world[f"{address}:{port}"]
    try:
        return (address, port) if ipaddress.ip_address(address).is_loopback else NOWHERE
    except ValueError:
        return None
