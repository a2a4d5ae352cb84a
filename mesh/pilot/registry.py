"""The registry: which services exist, and which pods stand behind each port and subset of them.

In a real mesh istiod watches Services, Endpoints and Pods of Kubernetes; here the testbed says
what it started.  A subset is a set of labels (DestinationRule ``spec.subsets[].labels``): the pods
that carry all of them.  Shown by ``meshctl proxy-config endpoint POD``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from mesh.topology import Pod, Port, Service


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One address behind a service port; ``pod`` is its name, ``locality`` region/zone/subzone.

    With ``port`` 0 the address is the path of a Unix socket; ``weight`` 0 means not set.
    ``draining``: the pod is about to leave.
    """

    address: str
    port: int
    pod: str
    labels: Mapping[str, str]
    locality: str = ""
    weight: int = 0
    draining: bool = False


@dataclass(slots=True)
class Registry:
    """Services by host name, pods by (namespace, name); ``draining`` are those about to leave."""

    services: dict[str, Service] = field(default_factory=dict)
    pods: dict[tuple[str, str], Pod] = field(default_factory=dict)
    draining: set[tuple[str, str]] = field(default_factory=set)

    def add_service(self, service: Service) -> None:
        """Make a service known, or replace it."""
        self.services[service.hostname] = service

    def remove_service(self, hostname: str) -> None:
        """Forget a service; nothing happens when there is none."""
        self.services.pop(hostname, None)

    def add_pod(self, pod: Pod) -> None:
        """Make a pod known, or replace it (a restarted pod has other ports)."""
        self.pods[pod.namespace, pod.name] = pod

    def remove_pod(self, name: str, namespace: str) -> bool:
        """Forget a pod; False when there was none."""
        self.draining.discard((namespace, name))
        return self.pods.pop((namespace, name), None) is not None

    def service(self, hostname: str) -> Service | None:
        """Return the service with this fully qualified name."""
        return self.services.get(hostname)

    def port(self, hostname: str, number: int) -> Port | None:
        """Return the port ``number`` of a service."""
        service = self.services.get(hostname)
        ports: Iterable[Port] = service.ports if service else ()
        return next((port for port in ports if port.number == number), None)

    def pods_of(self, hostname: str) -> list[Pod]:
        """Return the pods of a service, by name."""
        service = self.services.get(hostname)
        if service is None:
            return []
        return [
            self.pods[key]
            for key in sorted(self.pods)
            if key[0] == service.namespace and self.pods[key].service == service.name
        ]

    def endpoints(
        self, hostname: str, port: int, labels: Mapping[str, str] | None = None
    ) -> tuple[Endpoint, ...]:
        """Return the addresses behind ``hostname:port``, of the pods that carry ``labels``.

        Empty for an unknown service, port or a subset without pods (503 UH at run time).
        """
        wanted = dict(labels or {})
        return tuple(
            Endpoint(
                pod.address,
                pod.ports[port],
                pod.name,
                pod.labels,
                pod.locality,
                draining=(pod.namespace, pod.name) in self.draining,
            )
            for pod in self.pods_of(hostname)
            if port in pod.ports and wanted.items() <= pod.labels.items()
        )
