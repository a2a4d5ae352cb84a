"""Context: all resources of an analysis, indexed once, so that a thousand take a moment.

Hosts are compared as the mesh does: a name without a dot belongs to the resource's namespace.
What runs is known from a Topology and from Kubernetes objects among the resources; without either
the analyzers that compare with it stay silent instead of guessing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import yaml

from mesh.istio.analyze.hosts import HostSet, resolve
from mesh.istio.analyze.peer_modes import PeerModes
from mesh.istio.analyze.pods import PodGroup, Pods, find_pods
from mesh.istio.analyze.registry import Registry
from mesh.istio.eras import Era
from mesh.istio.models.destination_rule import DestinationRule, Subset, TrafficPolicy
from mesh.istio.models.gateway import Gateway
from mesh.istio.models.gateway_api import KubernetesGateway
from mesh.istio.models.kubernetes import Service as KubernetesService
from mesh.istio.models.virtual_service import Destination, HTTPRoute, VirtualService
from mesh.istio.nearest import listed
from mesh.istio.resource import Resource
from mesh.topology import ROOT_NAMESPACE, Topology

MESH = "mesh"


@dataclass(frozen=True, slots=True)
class Reference:
    """A destination that a VirtualService names, and where."""

    resource: Resource
    destination: Destination
    path: str
    export_to: list[str]
    mirror: bool = False


@dataclass(frozen=True, slots=True)
class Policy:
    """A traffic policy of a DestinationRule; ``subset`` is None for the one of the whole host."""

    resource: Resource
    host: str
    subset: Subset | None
    policy: TrafficPolicy
    path: str


class Context:
    """What the analyzers read."""

    def __init__(self, resources: list[Resource], era: Era, topology: Topology | None) -> None:
        self.resources, self.era, self.topology = resources, era, topology
        self.by_kind: dict[str, list[Resource]] = {}
        for each in resources:
            self.by_kind.setdefault(each.kind, []).append(each)

    def virtual_services(self) -> Iterator[tuple[Resource, VirtualService]]:
        """Yield the VirtualServices."""
        for each in self.by_kind.get("VirtualService", ()):
            if isinstance(each.spec, VirtualService):
                yield each, each.spec

    def http_routes(self) -> Iterator[tuple[Resource, HTTPRoute, str]]:
        """Yield every http rule with its path."""
        for resource, spec in self.virtual_services():
            for index, route in enumerate(spec.http or ()):
                yield resource, route, f"spec.http[{index}]"

    def destination_rules(self) -> Iterator[tuple[Resource, DestinationRule, str]]:
        """Yield the DestinationRules with their resolved host."""
        for each in self.by_kind.get("DestinationRule", ()):
            if isinstance(each.spec, DestinationRule):
                yield each, each.spec, resolve(each.spec.host, each.namespace)

    @cached_property
    def peer_modes(self) -> PeerModes:
        """The mTLS modes that PeerAuthentications state."""
        return PeerModes.of(self.by_kind.get("PeerAuthentication", ()))

    @cached_property
    def policies(self) -> list[Policy]:
        """All traffic policies, of hosts and of subsets."""
        found = []
        for resource, spec, host in self.destination_rules():
            if spec.traffic_policy is not None:
                found.append(
                    Policy(resource, host, None, spec.traffic_policy, "spec.trafficPolicy")
                )
            for index, subset in enumerate(spec.subsets or ()):
                if subset.traffic_policy is not None:
                    path = f"spec.subsets[{index}].trafficPolicy"
                    found.append(Policy(resource, host, subset, subset.traffic_policy, path))
        return found

    @cached_property
    def subsets(self) -> dict[str, dict[str, Subset]]:
        """Subsets by host and name."""
        found: dict[str, dict[str, Subset]] = {}
        for _, spec, host in self.destination_rules():
            known = found.setdefault(host, {})
            for subset in spec.subsets or ():
                known.setdefault(subset.name, subset)
        return found

    def subsets_of(self, host: str) -> dict[str, Subset]:
        """Return the subsets that are defined for a host, by a rule of its own or a wildcard's."""
        return self.subsets.get(self._ruled_hosts.best(host), {})

    @cached_property
    def _ruled_hosts(self) -> HostSet:
        return HostSet(self.subsets)

    @cached_property
    def references(self) -> list[Reference]:
        """Every destination of every VirtualService, with its path."""
        found = []
        for resource, spec in self.virtual_services():
            seen = spec.export_to or []
            for index, rule in enumerate(spec.http or ()):
                path = f"spec.http[{index}]"
                for number, each in enumerate(rule.route or ()):
                    place = f"{path}.route[{number}].destination"
                    found.append(Reference(resource, each.destination, place, seen))
                if rule.mirror is not None:
                    place = f"{path}.mirror"
                    found.append(Reference(resource, rule.mirror, place, seen, mirror=True))
                for number, copy in enumerate(rule.mirrors or ()):
                    place = f"{path}.mirrors[{number}].destination"
                    found.append(Reference(resource, copy.destination, place, seen, mirror=True))
            low = [("tls", n, each.route) for n, each in enumerate(spec.tls or ())]
            low += [("tcp", n, each.route) for n, each in enumerate(spec.tcp or ())]
            for name, index, targets in low:
                for number, target in enumerate(targets or ()):
                    place = f"spec.{name}[{index}].route[{number}].destination"
                    found.append(Reference(resource, target.destination, place, seen))
        return found

    @cached_property
    def routed(self) -> set[tuple[str, str]]:
        """Pairs of host and subset that some route or mirror names."""
        return {
            (resolve(each.destination.host, each.resource.namespace), each.destination.subset or "")
            for each in self.references
        }

    def routes_to(self, host: str, subset: str) -> bool:
        """True when some route or mirror names a subset of the host, which may be a pattern."""
        found = self._hosts_by_subset.get(subset)
        return found is not None and found.any_within(host)

    @cached_property
    def _hosts_by_subset(self) -> dict[str, HostSet]:
        found: dict[str, set[str]] = {}
        for host, subset in self.routed:
            found.setdefault(subset, set()).add(host)
        return {subset: HostSet(hosts) for subset, hosts in found.items()}

    @cached_property
    def gateways(self) -> dict[str, Gateway]:
        """Gateways by ``namespace/name``."""
        return {
            f"{each.namespace}/{each.name}": each.spec
            for each in self.by_kind.get("Gateway", ())
            if isinstance(each.spec, Gateway)
        }

    @cached_property
    def kubernetes_gateways(self) -> dict[str, KubernetesGateway]:
        """Gateways of the Gateway API by ``namespace/name``."""
        return {
            f"{each.namespace}/{each.name}": each.spec
            for each in self.by_kind.get("Gateway", ())
            if isinstance(each.spec, KubernetesGateway)
        }

    @cached_property
    def mesh_config(self) -> dict[str, Any] | None:
        """The ``mesh`` of the ConfigMap ``istio``; None when no file has it or it cannot be read."""
        for each in self.by_kind.get("ConfigMap", ()):
            if (each.namespace, each.name) == (ROOT_NAMESPACE, "istio"):
                data = getattr(each.spec, "data", None) or {}
                try:
                    read = yaml.safe_load(data.get("mesh", "")) or {}
                except yaml.YAMLError:
                    return None
                return read if isinstance(read, dict) else None
        return None

    @cached_property
    def registry(self) -> Registry:
        """Known hosts of the mesh: topology, Service objects, ServiceEntries."""
        return Registry(self.by_kind, self.topology)

    @property
    def services(self) -> dict[str, tuple[int, ...]]:
        """Known hosts with their ports."""
        return self.registry.hosts

    @property
    def known_hosts(self) -> HostSet:
        """The known hosts, to be asked."""
        return self.registry.patterns

    @cached_property
    def service_names(self) -> dict[str, str]:
        """First labels of the known hosts, for the question which one was meant."""
        return {name.split(".")[0]: name for name in self.services}

    @cached_property
    def services_text(self) -> str:
        """The known hosts, to be shown."""
        return listed(self.services)

    @property
    def knows_services(self) -> bool:
        """True when it is known what runs, so that a missing host is a mistake."""
        return self.topology is not None or "Service" in self.by_kind

    @cached_property
    def pods(self) -> Pods:
        """What runs."""
        return find_pods(self.by_kind, self.topology)

    def pods_of(self, host: str, labels: dict[str, str] | None = None) -> int | None:
        """Count the pods of a service that carry ``labels``; None when nobody knows."""
        selector = self._selectors.get(host)
        if selector is None or not self.pods:
            return None
        namespace, own = selector
        wanted = own | (labels or {})
        return sum(each.count for each in self.pods.select(namespace, wanted))

    def groups_of(self, host: str, labels: dict[str, str]) -> list[PodGroup] | None:
        """Return the pods of a service that carry ``labels``; None when nobody knows."""
        selector = self._selectors.get(host)
        if selector is None or not self.pods:
            return None
        return self.pods.select(selector[0], selector[1] | labels)

    @cached_property
    def _selectors(self) -> dict[str, tuple[str, dict[str, str]]]:
        found: dict[str, tuple[str, dict[str, str]]] = {}
        for service in self.topology.all_services if self.topology else ():
            found[service.hostname] = (service.namespace, {"app": service.name})
        for each in self.by_kind.get("Service", ()):
            if isinstance(each.spec, KubernetesService) and each.spec.selector:
                host = resolve(each.name, each.namespace)
                found[host] = (each.namespace, dict(each.spec.selector))
        return found
