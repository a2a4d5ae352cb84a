"""IST0112, IST0118: ports that the mesh cannot guess.

A route to a Service with several ports must name one.  The name of a port tells Istio the
protocol (``http-web``); a port named otherwise is treated as what the first bytes look like.
"""

from __future__ import annotations

from collections.abc import Iterator

from mesh.istio.analyze.context import Context, resolve
from mesh.istio.models.kubernetes import Service
from mesh.istio.nearest import words
from mesh.istio.problem import Level, Problem

_PREFIXES = frozenset(
    [
        "http",
        "http2",
        "https",
        "tcp",
        "tls",
        "grpc",
        "grpc-web",
        "mongo",
        "mysql",
        "redis",
        "udp",
        "hbone",
    ]
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
                f"multiple ports [{words(map(str, ports))}]. Specifying a port in the destination is required "
                "to disambiguate.",
                each.path,
                expected="port.number",
                hint=f"Add `port: {{number: {ports[0]}}}` to the destination.",
            )


def port_names(context: Context) -> Iterator[Problem]:
    """Check the names of the ports of Service objects."""
    for resource in context.by_kind.get("Service", ()):
        if not isinstance(resource.spec, Service):
            continue
        for index, port in enumerate(resource.spec.ports or ()):
            name = port.name or ""
            protocol = name if name == "grpc-web" else name.split("-")[0]
            if protocol in _PREFIXES or port.app_protocol or port.protocol == "UDP":
                continue
            yield resource.problem(
                "IST0118",
                Level.INFO,
                f"Port name {name} (port: {port.port}, targetPort: {port.target_port or ''}) "
                "doesn't follow the naming convention of Istio port.",
                f"spec.ports[{index}]",
                hint="Name it http or http-..., or set `appProtocol: http`.",
            )
