"""Resources as the translation sees them: anything with a kind and a spec, and VirtualServices.

A ``Routing`` is what a VirtualService says, wherever it comes from: applied as such, merged from a
root and its delegates, or made of the Gateway API's HTTPRoutes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from mesh.istio import gateway_api
from mesh.istio.models.virtual_service import VirtualService
from mesh.pilot.translate import names
from mesh.topology import DOMAIN_SUFFIX

MESH = "mesh"
"""The reserved gateway name that stands for all sidecars."""


class Config(gateway_api.Object, Protocol):
    """What the translation needs of ``mesh.istio.Resource``."""

    @property
    def annotations(self) -> Mapping[str, str]:
        """``metadata.annotations``."""

    @property
    def qualified_kind(self) -> str:
        """The kind, with its group where two groups have one of that name."""


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
    def in_mesh(self) -> bool:
        """True when sidecars obey it; else it is for gateways only."""
        return MESH in self.gateways

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
