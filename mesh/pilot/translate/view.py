"""MeshView: everything the translation reads, and the only way to it.

Translation is a pure function of this view and a node: the same view always gives the same xDS.
Whatever is read here is noted (``mesh.pilot.memo``), so a change makes only that anew which was
made from it.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Any, Literal

from mesh.istio import gateway_api
from mesh.istio.eras import ISTIO_1_28, Era
from mesh.istio.extension_providers import ExtensionProvider
from mesh.istio.models.destination_rule import ConnectionPoolSettings
from mesh.istio.models.gateway import Gateway
from mesh.istio.models.virtual_service import Destination
from mesh.pilot import virtual_address
from mesh.pilot.memo import Memo, note
from mesh.pilot.registry import Endpoint, Registry
from mesh.pilot.translate import blocks, mesh_config, names, service_entry
from mesh.pilot.translate.configs import Configs
from mesh.pilot.translate.destination_rule import DestinationRules, Rule
from mesh.pilot.translate.imports import Imports
from mesh.pilot.translate.mesh_config import MeshConfig
from mesh.pilot.translate.routing import Config, Routing
from mesh.topology import ROOT_NAMESPACE, Service

OutboundPolicy = Literal["REGISTRY_ONLY", "ALLOW_ANY"]
LOCAL, COMPOSE = "local", "compose"
SYSTEM_ROOTS = "/etc/ssl/certs/ca-certificates.crt"
"""Where the image of Istio's proxy has the authorities of the internet."""


@dataclass(frozen=True, slots=True)
class MixerSettings:
    """The Unix ``socket`` of Mixer, ``""`` for none; share of requests that become spans, in percent."""

    socket: str = ""
    sampling: float = 100.0


@dataclass(frozen=True, eq=False)
class MeshView:
    """Registry, resources, era and mesh options.

    ``outbound_policy`` empty means the era's; ``world`` maps outside ``host:port`` to the
    ``(address, port)`` that plays it on this machine; ``l5d_dtab``: sidecars obey that header;
    ``providers`` are those that the topology states, beside the ones of the ConfigMap;
    ``runtime``: ``local``, or ``compose`` where iptables redirects connections; ``system_roots``: the
    file with the authorities that sign certificates outside of the mesh.

    A view of the whole mesh has no ``client``.  One that ``scope.scoped`` cut down for a proxy has
    its namespace, ``labels``, ``locality``, ``router`` (it is a gateway), what it ``imports``, and
    stands on the ``whole`` one.  ``egress_proxy`` and ``inbound_pool`` are what its Sidecar resource
    says, ``origin`` is the key in the memo by which the cut was made.
    """

    registry: Registry
    resources: tuple[Config, ...] | Configs[Any] = ()
    era: Era = ISTIO_1_28
    outbound_policy: OutboundPolicy | None = None
    world: Mapping[str, tuple[str, int]] = field(default_factory=dict)
    l5d_dtab: bool = False
    runtime: str = LOCAL
    whole: MeshView | None = None
    origin: Hashable = None
    client: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    locality: str = ""
    imports: Imports | None = None
    egress_proxy: Destination | None = None
    inbound_pool: ConnectionPoolSettings | None = None
    system_roots: str = SYSTEM_ROOTS
    router: bool = False
    providers: tuple[ExtensionProvider, ...] = ()
    mixer: MixerSettings = field(default_factory=lambda: MixerSettings())

    @cached_property
    def configs(self) -> Configs[Any]:
        """The resources, indexed."""
        if self.whole is not None:
            return self.whole.configs
        return self.resources if isinstance(self.resources, Configs) else Configs.of(self.resources)

    @cached_property
    def memo(self) -> Memo:
        """What has been worked out of this view and all that stand on it."""
        return self.whole.memo if self.whole is not None else Memo()

    def ask[T](self, question: str, detail: Hashable, make: Callable[[], T]) -> T:
        """Return the answer to a question about this view, worked out once until its sources change."""

        def made() -> T:
            if self.origin is not None:
                note(self.origin)
            return make()

        return self.memo.get((question, self, detail), made)

    @property
    def policy(self) -> OutboundPolicy:
        """What happens to hosts that the registry does not know."""
        return self.outbound_policy or self.era.default_outbound_policy

    @property
    def services(self) -> dict[str, Service]:
        """All hosts that have clusters, by name: those of the registry and of ServiceEntries."""
        return self.ask("services", None, self._services)

    @property
    def blocks(self) -> list[blocks.Block]:
        """The names of ``services`` in blocks, each of which is translated on its own."""
        return self.ask("blocks", None, lambda: blocks.cut(self.services))

    def listed(self) -> list[Service]:
        """Return the services that can be called by their names, in the order of these."""
        return [each for each in self.services.values() if not self.unlisted(each.hostname)]

    def service(self, hostname: str) -> Service | None:
        """Return a service, with those of its ports that may be known here."""
        return self._known(hostname)[0]

    def unlisted(self, hostname: str) -> bool:
        """True when routes lead to a service, and nobody can call it by its name."""
        return self._known(hostname)[1]

    @property
    def virtual_addresses(self) -> dict[str, str]:
        """What the names of Services and ServiceEntries lead to where nobody uses a proxy.

        None for names with a wildcard, and where a ServiceEntry leaves the look-up to the caller.
        """
        whole = self.whole or self
        return whole.ask("virtual addresses", None, whole._virtual_addresses)

    def endpoints(
        self, hostname: str, port: int, labels: Mapping[str, str] | None = None
    ) -> tuple[Endpoint, ...]:
        """Return the addresses behind ``hostname:port``, of the pods that carry ``labels``."""
        service = self.service(hostname)
        if isinstance(service, service_entry.EntryService):
            return service_entry.endpoints(service, port, labels, self._places(service))
        return self.registry.endpoints(hostname, port, labels) if service is not None else ()

    def entry_identities(self, service: service_entry.EntryService) -> list[str]:
        """Return the SPIFFE ids that may answer for the host of a ServiceEntry."""
        return service_entry.identities(service, self._places(service))

    def protocol(self, hostnames: Iterable[str], number: int) -> str:
        """Return the protocol of a port of the services that a pod belongs to; ``http`` if unknown."""
        for hostname in hostnames:
            port = self.registry.port(hostname, number)
            if port is not None:
                return port.protocol
        return "http"

    def of_kind(self, kind: str, *namespaces: str) -> list[Config]:
        """Return the resources of a kind in their order, of all namespaces or of these."""
        return self.configs.of_kind(kind, *dict.fromkeys(namespaces))

    @property
    def virtual_services(self) -> list[Routing]:
        """The VirtualServices that sidecars obey here: merged with their delegates, HTTPRoutes too."""
        return self.ask("virtual services", None, self._virtual_services)

    def bound_to(self, gateway: str) -> list[Routing]:
        """Return the VirtualServices of a Gateway (``namespace/name``)."""
        found = self.configs.routes_at(gateway)
        return self.imports.in_order(found) if self.imports is not None else found

    @property
    def gateway_api(self) -> gateway_api.Converted:
        """What the Gateway API's Gateways and HTTPRoutes are in Istio's words."""
        return self.configs.gateway_api()

    @property
    def mesh_config(self) -> MeshConfig:
        """The settings of the whole mesh (the ConfigMap ``istio``)."""
        maps = self.of_kind("ConfigMap", ROOT_NAMESPACE)
        found = mesh_config.read(each.spec.data or {} for each in maps if each.name == "istio")
        named = {each.name: each for each in (*self.providers, *found.extension_providers)}
        return replace(found, extension_providers=tuple(named.values()))

    @property
    def gateways(self) -> dict[str, Gateway]:
        """Gateways by ``namespace/name``: Istio's, and a listener of the Gateway API as one."""
        own = {
            f"{each.namespace}/{each.name}": each.spec
            for each in self.of_kind("Gateway")
            if isinstance(each.spec, Gateway)
        }
        return own | self.gateway_api.gateways

    def rule(self, hostname: str) -> Rule | None:
        """Return the DestinationRule that is in force for a host."""
        return self.ask("rule", hostname, partial(self._rule, hostname))

    def virtual_service(
        self, hostname: str, client: str, words: Literal["http", "tcp", "tls"] = "http"
    ) -> Routing | None:
        """Return what sidecars of the namespace ``client`` obey: exact name, longest suffix.

        The first VirtualService of a host counts that has rules of the kind asked for; among
        HTTPRoutes those of the caller's own namespace go before the Service's.
        """
        return self.ask(
            "virtual service",
            (hostname, client, words),
            partial(self._virtual_service, hostname, client, words),
        )

    def cluster(self, destination: Destination, namespace: str, listener_port: int) -> str:
        """Return the cluster of a destination: explicit port, else the only one, else the listener's.

        A backend that an HTTPRoute may not use has no host; Istio's cluster for it exists nowhere.
        """
        if not destination.host:
            return "UnknownService"
        hostname = names.resolve(destination.host, namespace)
        service = self.service(hostname)
        if destination.port is not None and destination.port.number:
            port = destination.port.number
        elif service is not None and len(service.ports) == 1:
            port = service.ports[0].number
        else:
            port = listener_port
        return names.outbound(port, destination.subset or "", hostname)

    def _registered(self, hostname: str) -> Service | None:
        """Return a service of the whole mesh: Kubernetes' goes before ServiceEntries of its name."""
        service = self.registry.service(hostname)
        return service or service_entry.service(self.configs.entries(hostname), hostname)

    def _known(self, hostname: str) -> tuple[Service | None, bool]:
        """Return a service as it is known here, and whether it is unlisted."""
        return self.ask("service", hostname, partial(self._find, hostname))

    def _find(self, hostname: str) -> tuple[Service | None, bool]:
        service = self._registered(hostname)
        if self.imports is None or service is None:
            return service, False
        if not self.imports.sees(service):
            return None, False
        listed = self.imports.service(service)
        if listed is None and any(map(self.imports.takes, self.configs.routes_to(hostname))):
            return service, True
        return listed, False

    def _services(self) -> dict[str, Service]:
        namespaces = self.imports.namespaces if self.imports is not None else None
        found: set[str] = set()
        if namespaces is None:
            found.update(self.registry.hostnames(), self._hosts(self.of_kind("ServiceEntry")))
        for namespace in namespaces or ():
            found.update(self.registry.hostnames(namespace))
            found.update(self._hosts(self.of_kind("ServiceEntry", namespace)))
        if self.imports is not None:
            found |= self.imports.named
            if self.imports.egress is not None:
                found.update(host for each in self.virtual_services for host in each.destinations)
        known = ((hostname, self.service(hostname)) for hostname in sorted(found))
        return {hostname: service for hostname, service in known if service is not None}

    def _hosts(self, entries: Iterable[Config]) -> Iterable[str]:
        return (host.lower() for each in entries for host in each.spec.hosts)

    def _virtual_services(self) -> list[Routing]:
        if self.imports is None:
            return self.configs.routes()
        namespaces = self.imports.namespaces
        if namespaces is None:
            found = self.configs.routes()
        else:
            found = self.configs.routes_in(sorted(namespaces), sorted(self.imports.named))
        return self.imports.in_order(filter(self.imports.takes, found))

    def _virtual_service(self, hostname: str, client: str, words: str) -> Routing | None:
        found: dict[str, Routing] = {}
        routings = self.configs.routes_of(hostname)
        if self.imports is not None:
            routings = self.imports.in_order(filter(self.imports.takes, routings))
        for routing in routings:
            if not getattr(routing.spec, words):
                continue
            for host in routing.hosts:
                if not names.covers(host, hostname) or not routing.concerns(client, host):
                    continue
                old = found.setdefault(host, routing)
                if old.gateway_api and routing.namespace == client:
                    found[host] = routing
        best = names.most_specific(found, hostname)
        return found[best] if best else None

    def _rule(self, hostname: str) -> Rule | None:
        """Until 1.0 a rule held wherever it stood."""
        service = self.service(hostname)
        client = self.client if self.era.release >= (1, 1) else ""
        owner = service.namespace if service else ""
        places = {client, owner, ROOT_NAMESPACE} - {""} if client else {""}
        rules = DestinationRules()
        for place in sorted(places):
            for each in self.configs.rules(place, hostname):
                rules.add(each.name, each.namespace, each.spec)
        return rules.find(hostname, owner, client, self.labels)

    def _virtual_addresses(self) -> dict[str, str]:
        entries = [
            hostname
            for hostname, service in self.services.items()
            if isinstance(service, service_entry.EntryService)
            and service.resolution != "NONE"
            and not hostname.startswith("*")
        ]
        own = virtual_address.of_services(self.registry.hostnames())
        return virtual_address.allocate(entries, virtual_address.ENTRIES) | own

    def _places(self, service: service_entry.EntryService) -> service_entry.Places:
        selects = any(part.selector is not None for part in service.parts)
        entries = tuple(self.of_kind("WorkloadEntry")) if selects else ()
        return service_entry.Places(self.registry, entries, self.world)
