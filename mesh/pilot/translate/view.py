"""MeshView: everything the translation reads, frozen for one push.

Translation is a pure function of this view and a node: the same view always gives the same xDS.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, Protocol

from mesh.istio import gateway_api
from mesh.istio.eras import ISTIO_1_28, Era
from mesh.istio.models.destination_rule import DestinationRule, Subset, TrafficPolicy
from mesh.istio.models.gateway import Gateway
from mesh.istio.models.virtual_service import Destination, VirtualService
from mesh.pilot.registry import Registry
from mesh.pilot.translate import names
from mesh.topology import DOMAIN_SUFFIX

OutboundPolicy = Literal["REGISTRY_ONLY", "ALLOW_ANY"]
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


@dataclass(frozen=True, slots=True)
class Rule:
    """All DestinationRules of one host, merged: the first policy, all subsets."""

    host: str
    namespace: str
    name: str
    policy: TrafficPolicy | None
    subsets: tuple[Subset, ...]

    def subset(self, name: str) -> Subset | None:
        """Return the subset of that name."""
        return next((each for each in self.subsets if each.name == name), None)


def qualify_gateway(name: str, namespace: str) -> str:
    """Return ``namespace/name`` for a gateway as a VirtualService writes it."""
    if name == MESH or "/" in name:
        return name
    first, _, rest = name.partition(".")
    return f"{rest.split('.')[0]}/{first}" if rest else f"{namespace}/{name}"


@dataclass(frozen=True)
class MeshView:
    """Registry, resources, era and mesh options.

    ``outbound_policy`` empty means the era's; ``world`` maps outside ``host:port`` to the
    ``(address, port)`` that plays it on this machine.
    """

    registry: Registry
    resources: tuple[Config, ...] = ()
    era: Era = ISTIO_1_28
    outbound_policy: OutboundPolicy | None = None
    world: Mapping[str, tuple[str, int]] = field(default_factory=dict)

    @property
    def policy(self) -> OutboundPolicy:
        """What happens to hosts that the registry does not know."""
        return self.outbound_policy or self.era.default_outbound_policy

    def of_kind(self, kind: str) -> list[Config]:
        """Return the resources of one kind, in the order in which they were applied."""
        return [each for each in self.resources if each.kind == kind]

    @cached_property
    def virtual_services(self) -> list[Routing]:
        """All VirtualServices, then those that HTTPRoutes became."""
        own = [
            Routing(each.name, each.namespace, each.spec) for each in self.of_kind("VirtualService")
        ]
        return own + [
            Routing(each.name, each.namespace, each.spec, each.origins)
            for each in self.gateway_api.routes
        ]

    @cached_property
    def gateway_api(self) -> gateway_api.Converted:
        """What the Gateway API's Gateways and HTTPRoutes are in Istio's words."""
        return gateway_api.convert(self.resources)

    @cached_property
    def rules(self) -> dict[str, Rule]:
        """DestinationRules by host; those of one host are merged, as istiod does."""
        merged: dict[str, Rule] = {}
        for each in self.of_kind("DestinationRule"):
            spec: DestinationRule = each.spec
            host = names.resolve(spec.host, each.namespace)
            old = merged.get(host)
            known = {subset.name for subset in old.subsets} if old else set()
            new = tuple(subset for subset in spec.subsets or [] if subset.name not in known)
            merged[host] = Rule(
                host,
                each.namespace,
                old.name if old else each.name,
                (old.policy if old else None) or spec.traffic_policy,
                (*(old.subsets if old else ()), *new),
            )
        return merged

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
        """Return the DestinationRule that is in force for a host."""
        best = names.most_specific(self.rules, hostname)
        return self.rules[best] if best else None

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
        service = self.registry.service(hostname)
        if destination.port is not None and destination.port.number:
            port = destination.port.number
        elif service is not None and len(service.ports) == 1:
            port = service.ports[0].number
        else:
            port = listener_port
        return names.outbound(port, destination.subset or "", hostname)
