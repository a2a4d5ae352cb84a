"""IST0132: a VirtualService for a gateway that listens to none of its hosts: 404 at the gateway.

One host in common is enough: a VirtualService of several gateways may have hosts for each of them.
Source: istio/istio ``pkg/config/analysis/analyzers/virtualservice/gateways.go``.
"""

from __future__ import annotations

from collections.abc import Iterator

from mesh.istio.analyze.context import MESH, Context
from mesh.istio.analyze.hosts import HostSet
from mesh.istio.models.gateway import Gateway
from mesh.istio.models.gateway_api import KubernetesGateway
from mesh.istio.nearest import listed, words
from mesh.istio.problem import Level, Problem


def gateway_hosts(context: Context) -> Iterator[Problem]:
    """Compare the hosts of VirtualServices with those of the gateways that they name."""
    opened: dict[tuple[str, str], tuple[list[str], HostSet]] = {}
    for resource, spec in context.virtual_services():
        for name, index in {name: at for at, name in enumerate(spec.gateways or ())}.items():
            full = name if "/" in name else f"{resource.namespace}/{name}"
            key = full, resource.namespace
            if key not in opened:
                found = _hosts(context, full, resource.namespace) if name != MESH else None
                if found is None:
                    continue
                opened[key] = found, HostSet(found)
            open_hosts, known = opened[key]
            if not any(known.meets(host.lower()) for host in spec.hosts or ()):
                text = (
                    f"one or more host [{words(spec.hosts or ())}] defined in VirtualService "
                    f"{resource.namespace}/{resource.name} not found in Gateway {full}."
                )
                yield resource.problem(
                    "IST0132",
                    Level.WARNING,
                    text,
                    f"spec.gateways[{index}]",
                    expected=listed(open_hosts),
                    hint=f"The Gateway opens {listed(open_hosts)}: use one of these hosts, or "
                    "add yours to its servers."
                    if open_hosts
                    else f"It opens nothing to namespace {resource.namespace}: change its hosts.",
                )


def _hosts(context: Context, name: str, caller: str) -> list[str] | None:
    """Return what a gateway opens to a namespace; None: the gateway is not known."""
    gateway = context.gateways.get(name)
    if gateway is not None:
        return _of_istio(gateway, name.partition("/")[0], caller)
    other = context.kubernetes_gateways.get(name)
    return _of_kubernetes(other) if other is not None else None


def _of_istio(gateway: Gateway, own: str, caller: str) -> list[str]:
    found = []
    for server in gateway.servers or ():
        for host in server.hosts:
            space, slash, name = host.partition("/")
            if not slash:
                found.append(host.lower())
            elif space in ("*", caller) or (space == "." and own == caller):
                found.append(name.lower())
    return list(dict.fromkeys(found))


def _of_kubernetes(gateway: KubernetesGateway) -> list[str]:
    return list(dict.fromkeys((each.hostname or "*").lower() for each in gateway.listeners or ()))
