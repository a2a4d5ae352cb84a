"""MeshView: everything the translation reads, frozen for one push.

Translation is a pure function of this view and a node: the same view always gives the same xDS.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal, Protocol

from mesh.istio import gateway_api
from mesh.istio.eras import ISTIO_1_28, Era
from mesh.istio.extension_providers import ExtensionProvider
from mesh.istio.models.destination_rule import ConnectionPoolSettings
from mesh.istio.models.gateway import Gateway
from mesh.istio.models.virtual_service import Destination, VirtualService
from mesh.pilot import virtual_address
from mesh.pilot.registry import Endpoint, Registry
from mesh.pilot.translate import delegate, mesh_config, names, service_entry
from mesh.pilot.translate.destination_rule import DestinationRules, Rule
from mesh.pilot.translate.mesh_config import MeshConfig
from mesh.topology import DOMAIN_SUFFIX, ROOT_NAMESPACE, Service

OutboundPolicy = Literal["REGISTRY_ONLY", "ALLOW_ANY"]
LOCAL, COMPOSE = "local", "compose"
SYSTEM_ROOTS = "/etc/ssl/certs/ca-certificates.crt"
"""Where the image of Istio's proxy has the authorities of the internet."""
MESH = "mesh"
"""The reserved gateway name that stands for all sidecars."""


class Config(Protocol):
    """What the translation needs of ``mesh.istio.Resource``."""

    @property
    def kind(self) -> str:
        """``VirtualService`` and the like."""

    @property
    def name(self) -> str:
        """``metadata.name``."""

    @property
    def namespace(self) -> str:
        """``metadata.namespace``."""

    @property
    def labels(self) -> Mapping[str, str]:
        """``metadata.labels``; read of Namespaces only."""

    @property
    def spec(self) -> Any:
        """The model of ``mesh.istio.models`` for this kind."""


@dataclass(frozen=True, slots=True)
class Routing:
    """A VirtualService with where it stands.

    One that was made of HTTPRoutes (Gateway API) names the HTTPRoute of each rule in ``origins``.
    """

    name: str
    namespace: str
    spec: VirtualService
    origins: tuple[str, ...] = ()

    @property
    def gateway_api(self) -> bool:
        """True for what HTTPRoutes say: their semantics differ in places."""
        return bool(self.origins)

    def config(self, rule: int) -> str:
        """Return the path of the resource that a rule comes from, as Istio writes it."""
        if self.origins:
            namespace, _, name = self.origins[rule].partition("/")
            return f"/apis/{gateway_api.GROUP}/v1/namespaces/{namespace}/http-route/{name}"
        return (
            f"/apis/networking.istio.io/v1/namespaces/{self.namespace}/virtual-service/{self.name}"
        )

    def concerns(self, client: str, host: str) -> bool:
        """True when callers in the namespace ``client`` obey it for a host of the mesh.

        An HTTPRoute of another namespace than the Service's is for callers of its own only.
        """
        if not self.gateway_api or self.namespace == client:
            return True
        return host.endswith(f".{self.namespace}.svc.{DOMAIN_SUFFIX}")

    @property
    def hosts(self) -> list[str]:
        """Its hosts, fully qualified."""
        return [names.resolve(host, self.namespace) for host in self.spec.hosts or []]

    @property
    def gateways(self) -> list[str]:
        """``namespace/name`` of its gateways, or ``mesh``, the default."""
        return [qualify_gateway(each, self.namespace) for each in self.spec.gateways or [MESH]]

    @property
    def export_to(self) -> list[str]:
        """The namespaces that see it; empty: all."""
        return self.spec.export_to or []

    @property
    def destinations(self) -> list[str]:
        """The hosts that its rules send (or copy) something to, fully qualified."""
        found: dict[str, None] = {}
        raw = [each for tcp in self.spec.tcp or [] for each in tcp.route or []]
        raw += [each for tls in self.spec.tls or [] for each in tls.route or []]
        for each in raw:
            found[names.resolve(each.destination.host, self.namespace)] = None
        for rule in self.spec.http or []:
            named = [each.destination for each in rule.route or []]
            named += [each.destination for each in rule.mirrors or []]
            named += [rule.mirror] if rule.mirror else []
            found |= dict.fromkeys(names.resolve(each.host, self.namespace) for each in named)
        return list(found)


def qualify_gateway(name: str, namespace: str) -> str:
    """Return ``namespace/name`` for a gateway as a VirtualService writes it."""
    if name == MESH or "/" in name:
        return name
    first, _, rest = name.partition(".")
    return f"{rest.split('.')[0]}/{first}" if rest else f"{namespace}/{name}"


@dataclass(frozen=True, slots=True)
class MixerSettings:
    """The Unix ``socket`` of Mixer, ``""`` for none; share of requests that become spans, in percent."""

    socket: str = ""
    sampling: float = 100.0


@dataclass(frozen=True)
class MeshView:
    """Registry, resources, era and mesh options.

    ``outbound_policy`` empty means the era's; ``world`` maps outside ``host:port`` to the
    ``(address, port)`` that plays it on this machine; ``l5d_dtab``: sidecars obey that header;
    ``providers`` are those that the topology states, beside the ones of the ConfigMap;
    ``runtime``: ``local``, or ``compose`` where iptables redirects connections; ``system_roots``: the file
    with the authorities that sign certificates outside of the mesh.

    A view of the whole mesh has no ``client``.  One that ``scope.scoped`` cut down for a proxy has
    its namespace, ``labels``, ``locality``, ``router`` (it is a gateway), the ``imported`` VirtualServices, services that are ``unlisted``
    (routes name them, nobody can call them), and stands on the ``whole`` one.  ``egress_proxy`` and
    ``inbound_pool`` are what its Sidecar resource says.
    """

    registry: Registry
    resources: tuple[Config, ...] = ()
    era: Era = ISTIO_1_28
    outbound_policy: OutboundPolicy | None = None
    world: Mapping[str, tuple[str, int]] = field(default_factory=dict)
    l5d_dtab: bool = False
    runtime: str = LOCAL
    whole: MeshView | None = None
    client: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    locality: str = ""
    imported: tuple[Routing, ...] = ()
    unlisted: frozenset[str] = frozenset()
    egress_proxy: Destination | None = None
    inbound_pool: ConnectionPoolSettings | None = None
    system_roots: str = SYSTEM_ROOTS
    router: bool = False
    providers: tuple[ExtensionProvider, ...] = ()
    mixer: MixerSettings = field(default_factory=lambda: MixerSettings())

    @property
    def policy(self) -> OutboundPolicy:
        """What happens to hosts that the registry does not know."""
        return self.outbound_policy or self.era.default_outbound_policy

    @cached_property
    def services(self) -> dict[str, Service]:
        """All hosts that have clusters: those of the registry, then those of ServiceEntries."""
        if self.whole is not None:
            return self.registry.services
        return {**service_entry.services(self.of_kind("ServiceEntry")), **self.registry.services}

    @cached_property
    def virtual_addresses(self) -> dict[str, str]:
        """What the names of Services and ServiceEntries lead to where nobody uses a proxy.

        None for names with a wildcard, and where a ServiceEntry leaves the look-up to the caller.
        """
        if self.whole is not None:
            return self.whole.virtual_addresses
        entries = [
            hostname
            for hostname, service in self.services.items()
            if isinstance(service, service_entry.EntryService)
            and service.resolution != "NONE"
            and not hostname.startswith("*")
        ]
        own = virtual_address.of_services(self.registry.services)
        return virtual_address.allocate(entries, virtual_address.ENTRIES) | own

    def endpoints(
        self, hostname: str, port: int, labels: Mapping[str, str] | None = None
    ) -> tuple[Endpoint, ...]:
        """Return the addresses behind ``hostname:port``, of the pods that carry ``labels``."""
        service = self.services.get(hostname)
        if isinstance(service, service_entry.EntryService):
            return service_entry.endpoints(service, port, labels, self._places)
        return self.registry.endpoints(hostname, port, labels)

    def entry_identities(self, service: service_entry.EntryService) -> list[str]:
        """Return the SPIFFE ids that may answer for the host of a ServiceEntry."""
        return service_entry.identities(service, self._places)

    @cached_property
    def _places(self) -> service_entry.Places:
        if self.whole is not None:
            return self.whole._places
        entries = tuple(self.of_kind("WorkloadEntry"))
        return service_entry.Places(self.registry, entries, self.world)

    def protocol(self, hostnames: Iterable[str], number: int) -> str:
        """Return the protocol of a port of the services that a pod belongs to; ``http`` if unknown."""
        for hostname in hostnames:
            port = self.registry.port(hostname, number)
            if port is not None:
                return port.protocol
        return "http"

    def of_kind(self, kind: str) -> list[Config]:
        """Return the resources of one kind, in the order in which they were applied."""
        return [each for each in self.resources if each.kind == kind]

    @cached_property
    def virtual_services(self) -> list[Routing]:
        """All VirtualServices, delegates merged into their roots, then what HTTPRoutes became."""
        if self.whole is not None:
            return list(self.imported)
        placed = [
            delegate.Placed(each.name, each.namespace, each.spec)
            for each in self.of_kind("VirtualService")
        ]
        own = [Routing(each.name, each.namespace, each.spec) for each in delegate.merge(placed)]
        return own + [
            Routing(each.name, each.namespace, each.spec, each.origins)
            for each in self.gateway_api.routes
        ]

    @cached_property
    def gateway_api(self) -> gateway_api.Converted:
        """What the Gateway API's Gateways and HTTPRoutes are in Istio's words."""
        return self.whole.gateway_api if self.whole else gateway_api.convert(self.resources)

    @cached_property
    def mesh_config(self) -> MeshConfig:
        """The settings of the whole mesh (the ConfigMap ``istio``)."""
        if self.whole is not None:
            return self.whole.mesh_config
        place = (ROOT_NAMESPACE, "istio")
        found = mesh_config.read(
            each.spec.data or {}
            for each in self.of_kind("ConfigMap")
            if (each.namespace, each.name) == place
        )
        named = {each.name: each for each in (*self.providers, *found.extension_providers)}
        return replace(found, extension_providers=tuple(named.values()))

    @cached_property
    def destination_rules(self) -> DestinationRules:
        """All DestinationRules, by who obeys them."""
        if self.whole is not None:
            return self.whole.destination_rules
        found = DestinationRules()
        for each in self.of_kind("DestinationRule"):
            found.add(each.name, each.namespace, each.spec)
        return found

    @cached_property
    def gateways(self) -> dict[str, Gateway]:
        """Gateways by ``namespace/name``: Istio's, and a listener of the Gateway API as one."""
        own = {
            f"{each.namespace}/{each.name}": each.spec
            for each in self.of_kind("Gateway")
            if isinstance(each.spec, Gateway)
        }
        return own | self.gateway_api.gateways

    def rule(self, hostname: str) -> Rule | None:
        """Return the DestinationRule that is in force for a host.

        Until 1.0 a rule held wherever it stood.
        """
        if hostname not in self._rules:
            service = self.services.get(hostname)
            client = self.client if self.era.release >= (1, 1) else ""
            owner = service.namespace if service else ""
            self._rules[hostname] = self.destination_rules.find(
                hostname, owner, client, self.labels
            )
        return self._rules[hostname]

    @cached_property
    def _rules(self) -> dict[str, Rule | None]:
        return {}

    def virtual_service(self, hostname: str, client: str) -> Routing | None:
        """Return what sidecars of the namespace ``client`` obey: exact name, longest suffix.

        The first VirtualService of a host counts; among HTTPRoutes those of the caller's own
        namespace go before the Service's.
        """
        found: dict[str, Routing] = {}
        for routing in self.virtual_services:
            if MESH not in routing.gateways or not routing.spec.http:
                continue
            for host in routing.hosts:
                if not routing.concerns(client, host):
                    continue
                old = found.setdefault(host, routing)
                if old.gateway_api and routing.namespace == client:
                    found[host] = routing
        best = names.most_specific(found, hostname)
        return found[best] if best else None

    def cluster(self, destination: Destination, namespace: str, listener_port: int) -> str:
        """Return the cluster of a destination: explicit port, else the only one, else the listener's.

        A backend that an HTTPRoute may not use has no host; Istio's cluster for it exists nowhere.
        """
        if not destination.host:
            return "UnknownService"
        hostname = names.resolve(destination.host, namespace)
        service = self.services.get(hostname)
        if destination.port is not None and destination.port.number:
            port = destination.port.number
        elif service is not None and len(service.ports) == 1:
            port = service.ports[0].number
        else:
            port = listener_port
        return names.outbound(port, destination.subset or "", hostname)
