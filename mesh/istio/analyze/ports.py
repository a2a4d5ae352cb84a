"""IST0112, IST0118, IST0150: ports that the mesh cannot guess.

A route to a Service with several ports must name one.  The name of a port tells Istio the
protocol (``http-web``); a port named otherwise is treated as what the first bytes look like, which
does not work for a host outside that an ExternalName stands for.
Source: istio/istio ``pkg/config/kube/conversion.go`` ConvertProtocol and
``pkg/config/analysis/analyzers/service``.
"""

from __future__ import annotations

from collections.abc import Iterator

from mesh.istio.analyze.context import Context
from mesh.istio.analyze.hosts import resolve
from mesh.istio.analyze.injection import IGNORED
from mesh.istio.models.kubernetes import Service, ServicePort
from mesh.istio.nearest import words
from mesh.istio.problem import Level, Problem
from mesh.istio.resource import Resource

_PROTOCOLS = frozenset(
    ["tcp", "udp", "grpc", "http", "http_proxy", "http2", "https", "tls", "mongo", "redis", "mysql"]
)
_OF_KUBERNETES = frozenset(["kubernetes.io/h2c", "kubernetes.io/ws", "kubernetes.io/wss"])
_TCP_BY_NUMBER = frozenset([25, 53, 3306, 27017])
"""Ports at which servers speak first, so Istio never waits for the client's bytes there."""
_MANAGED_BY, _CONTROLLERS = (
    "gateway.istio.io/managed",
    frozenset(f"istio.io-{each}-controller" for each in ("gateway", "mesh", "eastwest")),
)


def route_ports(context: Context) -> Iterator[Problem]:
    """Find routes to a service with several ports that name none."""
    for each in context.references:
        if each.destination.port is not None:
            continue
        host = resolve(each.destination.host, each.resource.namespace)
        ports = context.services.get(host, ())
        if len(ports) > 1:
            yield each.resource.problem(
                "IST0112",
                Level.ERROR,
                f'This VirtualService routes to a service "{each.destination.host}" that exposes '
                f"multiple ports [{words(map(str, ports))}]. Specifying a port in the destination "
                "is required to disambiguate.",
                each.path,
                expected="port.number",
                hint=f"Add `port: {{number: {ports[0]}}}` to the destination.",
            )


def port_names(context: Context) -> Iterator[Problem]:
    """Check the names of the ports of Service objects; Istio's own are left alone."""
    for resource in context.by_kind.get("Service", ()):
        spec = resource.spec
        if not isinstance(spec, Service) or resource.namespace in IGNORED or _of_istio(resource):
            continue
        outside = spec.type == "ExternalName"
        for index, port in enumerate(spec.ports or ()):
            path = f"spec.ports[{index}]"
            if outside and (port.name == "tcp" or not says_protocol(port)):
                yield resource.problem(
                    "IST0150",
                    Level.WARNING,
                    "Port name for ExternalName service is invalid. Proxy may prevent tcp named "
                    "ports and unmatched traffic for ports serving TCP protocol from being "
                    "forwarded correctly",
                    path,
                    hint="Name it by what is spoken there (http, https, tls).",
                )
            elif not outside and not says_protocol(port):
                yield resource.problem(
                    "IST0118",
                    Level.INFO,
                    f"Port name {port.name or ''} (port: {port.port}, targetPort: "
                    f"{port.target_port or ''}) doesn't follow the naming convention of Istio port.",
                    path,
                    hint="Name it http or http-..., or set `appProtocol: http`.",
                )


def says_protocol(port: ServicePort) -> bool:
    """True when Istio knows what is spoken at a port without looking at the bytes."""
    if port.protocol == "UDP" or port.app_protocol in _OF_KUBERNETES:
        return True
    name = (port.name or "" if port.app_protocol is None else port.app_protocol).lower()
    known = name.startswith("grpc-web") or name.split("-")[0] in _PROTOCOLS
    return known or port.port in _TCP_BY_NUMBER


def _of_istio(resource: Resource) -> bool:
    labels = resource.labels
    return (
        "istio" in labels
        or labels.get("release") == "istio"
        or labels.get(_MANAGED_BY) in _CONTROLLERS
    )
