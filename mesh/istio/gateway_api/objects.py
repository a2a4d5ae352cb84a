"""What the conversion reads: the Gateway API's objects, Namespaces and grants among resources."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from mesh.istio.models.gateway_api import HTTPRoute, KubernetesGateway, ReferenceGrant
from mesh.topology import DOMAIN_SUFFIX

GROUP = "gateway.networking.k8s.io"
NAMESPACE_LABEL = "kubernetes.io/metadata.name"
"""The label that Kubernetes gives to every namespace."""


class Object(Protocol):
    """What is needed of ``mesh.istio.Resource``."""

    @property
    def kind(self) -> str:
        """``HTTPRoute`` and the like."""

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
class Named[T]:
    """A spec with where it stands."""

    namespace: str
    name: str
    spec: T


@dataclass(frozen=True, slots=True)
class Objects:
    """The Gateway API's objects in the order in which they were applied."""

    gateways: tuple[Named[KubernetesGateway], ...]
    routes: tuple[Named[HTTPRoute], ...]
    grants: tuple[Named[ReferenceGrant], ...]
    namespaces: dict[str, dict[str, str]]
    """Labels of every namespace that is known."""


def sort_out(resources: Iterable[Object]) -> Objects:
    """Pick the Gateway API's objects out of all resources."""
    gateways: list[Named[KubernetesGateway]] = []
    routes: list[Named[HTTPRoute]] = []
    grants: list[Named[ReferenceGrant]] = []
    namespaces: dict[str, dict[str, str]] = {}
    for each in resources:
        if each.kind == "Namespace":
            namespaces.setdefault(each.name, {}).update(each.labels)
            continue
        namespaces.setdefault(each.namespace, {})
        if isinstance(each.spec, KubernetesGateway):
            gateways.append(Named(each.namespace, each.name, each.spec))
        elif isinstance(each.spec, HTTPRoute):
            routes.append(Named(each.namespace, each.name, each.spec))
        elif isinstance(each.spec, ReferenceGrant):
            grants.append(Named(each.namespace, each.name, each.spec))
    for name, labels in namespaces.items():
        labels.setdefault(NAMESPACE_LABEL, name)
    return Objects(tuple(gateways), tuple(routes), tuple(grants), namespaces)


def hostname(name: str, namespace: str) -> str:
    """Return the fully qualified name of a Service."""
    return f"{name}.{namespace}.svc.{DOMAIN_SUFFIX}".lower()
