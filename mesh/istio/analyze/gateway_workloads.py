"""IST0101, IST0162: Gateways whose selector picks no pod, or whose port nobody reaches.

A Gateway is read by the pods that its selector picks.  A port that no Service leads to can be
reached from within the cluster only.
Source: istio/istio ``pkg/config/analysis/analyzers/gateway/gateway.go``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from mesh.istio.analyze.context import Context
from mesh.istio.analyze.pods import PodGroup
from mesh.istio.analyze.selectors import is_installed, selector_text
from mesh.istio.models.gateway import Gateway
from mesh.istio.models.kubernetes import Service
from mesh.istio.nearest import listed
from mesh.istio.problem import Level, Problem
from mesh.istio.resource import Resource


def gateway_workloads(context: Context) -> Iterator[Problem]:
    """Find Gateways that no pod reads, where it is known what runs."""
    if not context.pods:
        return
    for resource in context.by_kind.get("Gateway", ()):
        if not isinstance(resource.spec, Gateway):
            continue
        labels = dict(resource.spec.selector or {})
        if context.pods.anywhere(labels) or is_installed(context, labels):
            continue
        yield resource.problem(
            "IST0101",
            Level.ERROR,
            f'Referenced selector not found: "{selector_text(labels)}"',
            "spec.selector",
            hint="No pod has these labels, so nobody opens these ports. Istio's own gateway has "
            "`istio: ingressgateway`.",
        )


def gateway_ports(context: Context) -> Iterator[Problem]:
    """Find ports of a Gateway that no Service of its pods leads to.

    The pods of a Topology need no Service: their ports are what the Gateways open.
    """
    if context.topology is not None:
        return
    services: dict[str, list[Service]] = {}
    for each in context.by_kind.get("Service", ()):
        if isinstance(each.spec, Service) and each.spec.selector:
            services.setdefault(each.namespace, []).append(each.spec)
    for resource in context.by_kind.get("Gateway", ()):
        if not isinstance(resource.spec, Gateway):
            continue
        labels = dict(resource.spec.selector or {})
        pods = context.pods.anywhere(labels) if labels else []
        if pods:
            yield from _unreachable(resource, resource.spec, labels, _ports(pods, services))


def _ports(pods: Iterable[PodGroup], services: dict[str, list[Service]]) -> set[int]:
    """Return the ports that lead to some of the pods: a Service's own, and where they lead."""
    found: set[int] = set()
    for pod in pods:
        for service in services.get(pod.namespace, ()):
            if (service.selector or {}).items() <= pod.labels.items():
                for port in service.ports or ():
                    if port.protocol in (None, "TCP"):
                        target = port.target_port
                        found.add(port.port)
                        found.update([target] if isinstance(target, int) else [])
    return found


def _unreachable(
    resource: Resource, spec: Gateway, labels: dict[str, str], known: set[int]
) -> Iterator[Problem]:
    ports = listed(map(str, known))
    for index, server in enumerate(spec.servers or ()):
        if server.port.number in known:
            continue
        yield resource.problem(
            "IST0162",
            Level.WARNING,
            f"The gateway is listening on a target port (port {server.port.number}) that "
            "is not defined in the Service associated with its workload instances (Pod "
            f"selector {selector_text(labels)}). If you need to access the gateway port through "
            "the gateway Service, it will not be available.",
            f"spec.servers[{index}].port.number",
            expected=ports,
            hint=f"The Service has {ports}; add the port there, or use one of these."
            if known
            else "Write a Service for these pods.",
        )
