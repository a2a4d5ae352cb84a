"""The service registry: which services exist, and which pods stand behind them now.

In a real mesh istiod watches Kubernetes: a Service is a stable name, its endpoints are the ready
pods that its selector picks, and a subset of a DestinationRule narrows them by labels.
See it with ``meshctl proxy-config endpoints POD``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from mesh.topology import DOMAIN_SUFFIX, Pod, Service


@dataclass(slots=True)
class Registry:
    """Services by hostname and pods by name."""

    services: dict[str, Service] = field(default_factory=dict)
    pods: dict[str, Pod] = field(default_factory=dict)

    def add_services(self, services: Iterable[Service]) -> None:
        """Add or replace services."""
        self.services.update({service.hostname: service for service in services})

    def add_pod(self, pod: Pod) -> None:
        """A pod is ready: it becomes an endpoint of its service."""
        self.pods[pod.name] = pod

    def remove_pod(self, name: str) -> None:
        """A pod is gone; an unknown name is no error."""
        self.pods.pop(name, None)

    def resolve(self, host: str, namespace: str) -> Service | None:
        """The service that ``host`` names for a resource of ``namespace``, or None.

        A short name is looked up in the resource's own namespace (Istio: VirtualService.hosts).
        """
        return self.services.get(qualified(host, namespace))

    def endpoints(self, service: Service, labels: Mapping[str, str]) -> list[Pod]:
        """The pods of ``service`` that carry all of ``labels``, in the order of their names."""
        return sorted(
            (
                pod
                for pod in self.pods.values()
                if pod.service == service.name
                and pod.namespace == service.namespace
                and all(pod.labels.get(key) == value for key, value in labels.items())
            ),
            key=lambda pod: pod.name,
        )


def qualified(host: str, namespace: str) -> str:
    """The fully qualified name of ``host`` as written in ``namespace``.

    ``name`` and ``name.ns`` (and ``name.ns.svc``) are completed; a name with another number of
    dots is taken as it is.
    """
    parts = host.split(".")
    if len(parts) == 1 and host != "*":
        return f"{host}.{namespace}.svc.{DOMAIN_SUFFIX}"
    if len(parts) == 3 and parts[2] == "svc":
        return f"{host}.{DOMAIN_SUFFIX}"
    return host
