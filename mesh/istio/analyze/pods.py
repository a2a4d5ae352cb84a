"""Pods: what runs, by namespace and labels, and which of it is in the mesh.

Known from a Topology and from Deployments and Pods among the resources.  A Namespace that is among
them says by its labels whether its pods get sidecars; of one that is not, it is believed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from mesh.istio.models.kubernetes import Container, Deployment, Pod
from mesh.istio.resource import Resource
from mesh.topology import INJECT, ROOT_NAMESPACE, Topology

PROXY = "istio-proxy"
INJECTION, REVISION, DATAPLANE = "istio-injection", "istio.io/rev", "istio.io/dataplane-mode"
AMBIENT = "ambient"
_REDIRECTION = "ambient.istio.io/redirection"
WORKLOADS = ("Deployment", "StatefulSet", "DaemonSet")
"""Kinds whose pods come from a template."""
_ANYWHERE = "*"
INGRESS = {"istio": "ingressgateway"}
"""Labels by which Gateways select the ingress gateway that Istio's installation brings."""


@dataclass(frozen=True, slots=True)
class PodGroup:
    """Pods with the same labels: a workload of the topology, a Deployment, or one Pod.

    ``in_mesh``: whether they have a sidecar; ``ambient``: whether a node's proxy serves them.
    """

    name: str
    namespace: str
    labels: dict[str, str]
    count: int
    in_mesh: bool = True
    ambient: bool = False


class Pods:
    """All groups of pods, indexed by their labels."""

    def __init__(self, groups: Iterable[PodGroup]) -> None:
        self.by_namespace: dict[str, list[PodGroup]] = {}
        for each in groups:
            self.by_namespace.setdefault(each.namespace, []).append(each)
        self._all = [each for groups in self.by_namespace.values() for each in groups]
        self._found: dict[tuple[str, frozenset[tuple[str, str]]], list[PodGroup]] = {}

    def __bool__(self) -> bool:
        """True when it is known what runs."""
        return bool(self.by_namespace)

    def select(self, namespace: str, labels: Mapping[str, str]) -> list[PodGroup]:
        """Return the pods of a namespace that carry all these labels."""
        if not labels:
            return self.by_namespace.get(namespace, [])
        return self._with(namespace, labels)

    def anywhere(self, labels: Mapping[str, str]) -> list[PodGroup]:
        """Return the pods of all namespaces that carry all these labels."""
        return self._with(_ANYWHERE, labels) if labels else self._all

    def _with(self, place: str, labels: Mapping[str, str]) -> list[PodGroup]:
        key = place, frozenset(labels.items())
        if key not in self._found:
            sets = [self._carriers.get((place, *item), frozenset()) for item in key[1]]
            self._found[key] = [self._all[each] for each in sorted(frozenset.intersection(*sets))]
        return self._found[key]

    @cached_property
    def _carriers(self) -> dict[tuple[str, str, str], frozenset[int]]:
        """Which pods of a namespace, and which of all, carry a label."""
        found: dict[tuple[str, str, str], set[int]] = {}
        for number, group in enumerate(self._all):
            for key, value in group.labels.items():
                for place in (group.namespace, _ANYWHERE):
                    found.setdefault((place, key, value), set()).add(number)
        return {key: frozenset(numbers) for key, numbers in found.items()}


def find_pods(by_kind: Mapping[str, list[Resource]], topology: Topology | None) -> Pods:
    """Return what runs."""
    spaces = {each.name: each.labels for each in by_kind.get("Namespace", ())}
    return Pods([*_of_topology(topology), *_of_objects(by_kind, spaces)])


def _of_topology(topology: Topology | None) -> Iterator[PodGroup]:
    if topology is None:
        return
    for service in topology.all_services:
        for workload in service.workloads:
            labels = {"app": service.name, "version": workload.version, **workload.labels}
            yield PodGroup(
                workload.name, service.namespace, labels, workload.replicas, workload.injected
            )
    if topology.gateway:
        labels = {"app": topology.gateway, **INGRESS}
        yield PodGroup(topology.gateway, ROOT_NAMESPACE, labels, 1)


def _of_objects(
    by_kind: Mapping[str, list[Resource]], spaces: Mapping[str, Mapping[str, str]]
) -> Iterator[PodGroup]:
    for each in (one for kind in WORKLOADS for one in by_kind.get(kind, ())):
        if isinstance(each.spec, Deployment):
            meta = each.spec.template.metadata
            labels = dict((meta.labels if meta else None) or {})
            notes = dict((meta.annotations if meta else None) or {})
            count = 1 if each.spec.replicas is None else each.spec.replicas
            pod = each.spec.template.spec
            own = injected(labels, notes, pod, spaces.get(each.namespace))
            yield PodGroup(each.name, each.namespace, labels, count, own, _REDIRECTION in notes)
    for each in by_kind.get("Pod", ()):
        pod = each.spec if isinstance(each.spec, Pod) else None
        own = injected(each.labels, each.annotations, pod, spaces.get(each.namespace))
        ambient = _REDIRECTION in each.annotations
        yield PodGroup(each.name, each.namespace, each.labels, 1, own, ambient)


def injected(
    labels: Mapping[str, str],
    annotations: Mapping[str, str],
    pod: Pod | None,
    space: Mapping[str, str] | None,
) -> bool:
    """True when pods have a sidecar or get one: their own word goes before the namespace's."""
    if has_proxy(pod):
        return True
    for said in (labels.get(INJECT), annotations.get(INJECT)):
        if said is not None:
            return said == "true"
    return space is None or space.get(INJECTION) == "enabled" or REVISION in space


def has_proxy(pod: Pod | None) -> bool:
    """True when a sidecar is among the containers."""
    return any(each.name == PROXY for each in containers(pod))


def containers(pod: Pod | None) -> list[Container]:
    """Return all containers of a pod."""
    return [*pod.containers, *(pod.init_containers or ())] if pod else []
