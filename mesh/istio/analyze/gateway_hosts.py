"""IST0132: a VirtualService for a gateway that does not listen to its host: 404 at the gateway."""

from __future__ import annotations

from collections.abc import Iterator

from mesh.istio.analyze.context import MESH, Context, covers
from mesh.istio.models.gateway import Gateway
from mesh.istio.problem import Level, Problem


def gateway_hosts(context: Context) -> Iterator[Problem]:
    """Compare the hosts of VirtualServices with those of the gateways that they name."""
    for resource, spec in context.virtual_services():
        for index, name in enumerate(spec.gateways or ()):
            full = name if "/" in name else f"{resource.namespace}/{name}"
            gateway = context.gateways.get(full)
            if name == MESH or gateway is None:
                continue
            open_hosts = _hosts(gateway, full.partition("/")[0], resource.namespace)
            missing = [
                host
                for host in spec.hosts or ()
                if not any(
                    covers(each, host.lower()) or covers(host.lower(), each) for each in open_hosts
                )
            ]
            if missing and open_hosts and MESH not in (spec.gateways or ()):
                text = (
                    f"one or more host {missing} defined in VirtualService "
                    f"{resource.namespace}/{resource.name} not found in Gateway {full}."
                )
                yield resource.problem(
                    "IST0132",
                    Level.WARNING,
                    text,
                    f"spec.gateways[{index}]",
                    expected=", ".join(open_hosts),
                    hint=f"The Gateway opens {', '.join(open_hosts)}: use one of these hosts, or "
                    "add yours to its servers.",
                )


def _hosts(gateway: Gateway, own: str, caller: str) -> list[str]:
    found = []
    for server in gateway.servers or ():
        for host in server.hosts:
            space, slash, name = host.partition("/")
            if not slash:
                found.append(host.lower())
            elif space in ("*", caller) or (space == "." and own == caller):
                found.append(name.lower())
    return list(dict.fromkeys(found))
