"""The registry: which services exist, and which pods stand behind each port and subset of them.

In a real mesh istiod watches Services, Endpoints and Pods of Kubernetes; here the testbed says
what it started.  A subset is a set of labels (DestinationRule ``spec.subsets[].labels``): the pods
that carry all of them.  Who reads something here depends on it (``mesh.pilot.memo``), and what was
changed since it was last asked is in ``changed``.  Shown by ``meshctl proxy-config endpoint POD``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from mesh.pilot.memo import note
from mesh.topology import Pod, Port, Service

SERVICE, SERVICES, PODS, GENERATION = "service", "services", "pods", "generation"
"""Words of what can be read: one service, which ones a namespace has, the pods behind one, and how
often connections to them had to be made anew."""


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
    """Services by host name, pods by (namespace, name); ``draining`` are those about to leave.

    Change them by its methods only.
    """

    services: dict[str, Service] = field(default_factory=dict)
    pods: dict[tuple[str, str], Pod] = field(default_factory=dict)
    draining: set[tuple[str, str]] = field(default_factory=set)
    changed: set[tuple[str, ...]] = field(default_factory=set)
    _generations: dict[str, int] = field(default_factory=dict)
    _hostnames: dict[str, dict[str, None]] = field(default_factory=dict)
    _behind: dict[tuple[str, str], dict[str, Pod]] = field(default_factory=dict)
    _running: dict[str, dict[str, Pod]] = field(default_factory=dict)

    def add_service(self, service: Service) -> None:
        """Make a service known, or replace it."""
        if self.services.get(service.hostname) == service:
            return
        self.remove_service(service.hostname)
        self.services[service.hostname] = service
        self._hostnames.setdefault(service.namespace, {})[service.hostname] = None
        self._service_changed(service)

    def remove_service(self, hostname: str) -> None:
        """Forget a service; nothing happens when there is none."""
        service = self.services.pop(hostname, None)
        if service is not None:
            del self._hostnames[service.namespace][hostname]
            self._service_changed(service)

    def add_pod(self, pod: Pod) -> None:
        """Make a pod known, or replace it (a restarted pod has other ports)."""
        if self.pods.get((pod.namespace, pod.name)) == pod:
            return
        self.remove_pod(pod.name, pod.namespace)
        self.pods[pod.namespace, pod.name] = pod
        self._behind.setdefault((pod.namespace, pod.service), {})[pod.name] = pod
        self._running.setdefault(pod.namespace, {})[pod.name] = pod
        self._pod_changed(pod)

    def remove_pod(self, name: str, namespace: str) -> bool:
        """Forget a pod; False when there was none."""
        self.draining.discard((namespace, name))
        pod = self.pods.pop((namespace, name), None)
        if pod is None:
            return False
        del self._behind[namespace, pod.service][name]
        del self._running[namespace][name]
        self._pod_changed(pod)
        return True

    def drain(self, name: str, namespace: str) -> None:
        """Say that a pod is about to leave; nothing happens when there is none."""
        pod = self.pods.get((namespace, name))
        if pod is not None:
            self.draining.add((namespace, name))
            self._pod_changed(pod)

    def renew(self, hostname: str) -> None:
        """Say that connections to a service from before now are to be used no more."""
        self._generations[hostname] = self._generations.get(hostname, 0) + 1
        self.changed.add((GENERATION, hostname))

    def generation(self, hostname: str) -> int:
        """Return how often ``renew`` was said of a service."""
        note((GENERATION, hostname))
        return self._generations.get(hostname, 0)

    def take_changed(self) -> set[tuple[str, ...]]:
        """Return what was changed since this was last asked."""
        changed, self.changed = self.changed, set()
        return changed

    def service(self, hostname: str) -> Service | None:
        """Return the service with this fully qualified name."""
        note((SERVICE, hostname))
        return self.services.get(hostname)

    def hostnames(self, namespace: str = "") -> list[str]:
        """Return the host names of a namespace's services; without one, of all."""
        note((SERVICES, namespace))
        return list(self._hostnames.get(namespace, ()) if namespace else self.services)

    def port(self, hostname: str, number: int) -> Port | None:
        """Return the port ``number`` of a service."""
        service = self.service(hostname)
        ports: Iterable[Port] = service.ports if service else ()
        return next((port for port in ports if port.number == number), None)

    def pods_of(self, hostname: str) -> list[Pod]:
        """Return the pods of a service, by name."""
        service = self.service(hostname)
        if service is None:
            return []
        note((PODS, service.namespace, service.name))
        behind = self._behind.get((service.namespace, service.name), {})
        return [behind[name] for name in sorted(behind)]

    def pods_in(self, namespace: str) -> list[Pod]:
        """Return the pods of a namespace, by name."""
        note((PODS, namespace))
        running = self._running.get(namespace, {})
        return [running[name] for name in sorted(running)]

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

    def _service_changed(self, service: Service) -> None:
        """Which names exist changes as well: a replaced service is removed first."""
        self.changed |= {(SERVICE, service.hostname), (SERVICES, service.namespace), (SERVICES, "")}

    def _pod_changed(self, pod: Pod) -> None:
        self.changed |= {(PODS, pod.namespace, pod.service), (PODS, pod.namespace)}
