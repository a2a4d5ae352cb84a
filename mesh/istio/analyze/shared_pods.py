"""IST0116, IST0137: Services that share pods and contradict each other about a port.

A sidecar has one listener a port, so two Services in front of the same pods must agree on what a
port speaks and where it leads.  Pods without a sidecar may do as they like.
Source: istio/istio ``pkg/config/analysis/analyzers/deployment/services.go``.
"""

from __future__ import annotations

from collections.abc import Iterator

from mesh.istio.analyze.context import Context
from mesh.istio.analyze.pods import injected
from mesh.istio.models.kubernetes import Deployment, Service
from mesh.istio.nearest import words
from mesh.istio.problem import Level, Problem
from mesh.istio.resource import Resource

_MANAGED, _WAYPOINT = "gateway.istio.io/managed", "istio.io-mesh-controller"


def shared_pods(context: Context) -> Iterator[Problem]:
    """Compare the ports of all Services that select the pods of one Deployment."""
    by_namespace: dict[str, list[tuple[Resource, Service]]] = {}
    for each in context.by_kind.get("Service", ()):
        if isinstance(each.spec, Service) and each.spec.selector:
            by_namespace.setdefault(each.namespace, []).append((each, each.spec))
    spaces = {each.name: each.labels for each in context.by_kind.get("Namespace", ())}
    for resource in context.by_kind.get("Deployment", ()):
        spec = resource.spec
        if not isinstance(spec, Deployment):
            continue
        meta = spec.template.metadata
        labels = dict((meta.labels if meta else None) or {})
        notes = dict((meta.annotations if meta else None) or {})
        space = spaces.get(resource.namespace)
        if resource.labels.get(_MANAGED) == _WAYPOINT:
            continue
        if not injected(labels, notes, spec.template.spec, space):
            continue
        services = [
            (f"{each.namespace}/{each.name}", service)
            for each, service in by_namespace.get(resource.namespace, ())
            if (service.selector or {}).items() <= labels.items()
        ]
        if len(services) > 1:
            yield from _protocols(resource, services)
            yield from _targets(resource, services)


def _protocols(resource: Resource, services: list[tuple[str, Service]]) -> Iterator[Problem]:
    found: dict[int, dict[str, list[str]]] = {}
    for name, service in services:
        for port in service.ports or ():
            spoken = found.setdefault(port.port, {})
            spoken.setdefault(port.protocol or "TCP", []).append(name)
    for number, spoken in sorted(found.items()):
        if len(spoken) > 1:
            names = sorted({name for each in spoken.values() for name in each})
            yield resource.problem(
                "IST0116",
                Level.WARNING,
                f"This deployment {resource.name} is associated with multiple services using port "
                f"{number} but different protocols: [{words(names)}]",
                "metadata.name",
                hint=f"Give port {number} one protocol in all of them, or another number in one.",
            )


def _targets(resource: Resource, services: list[tuple[str, Service]]) -> Iterator[Problem]:
    found: dict[str, dict[int, str]] = {}
    for name, service in services:
        for port in service.ports or ():
            target = str(port.target_port or port.port)
            found.setdefault(target, {})[port.port] = name
    for target, ports in sorted(found.items()):
        if len(ports) > 1:
            yield resource.problem(
                "IST0137",
                Level.WARNING,
                f"This deployment {resource.name} is associated with multiple services "
                f'[{words(sorted(ports.values()))}] using targetPort "{target}" but different '
                f"ports: [{words(map(str, sorted(ports)))}].",
                "metadata.name",
                hint=f"Let all of them lead to targetPort {target} from the same port.",
            )
