"""IST0132: a VirtualService for a gateway that does not listen to its host: 404 at the gateway."""

from __future__ import annotations

from collections.abc import Iterator

from mesh.istio.analyze.context import MESH, Context
from mesh.istio.analyze.hosts import HostSet
from mesh.istio.models.gateway import Gateway
from mesh.istio.nearest import listed, words
from mesh.istio.problem import Level, Problem


def gateway_hosts(context: Context) -> Iterator[Problem]:
    """Compare the hosts of VirtualServices with those of the gateways that they name."""
    opened: dict[tuple[str, str], tuple[list[str], HostSet]] = {}
    for resource, spec in context.virtual_services():
        if MESH in (spec.gateways or [MESH]):
            continue
        for name, index in {name: at for at, name in enumerate(spec.gateways or ())}.items():
            full = name if "/" in name else f"{resource.namespace}/{name}"
            gateway = context.gateways.get(full)
            if gateway is None:
                continue
            key = full, resource.namespace
            if key not in opened:
                found = _hosts(gateway, full.partition("/")[0], resource.namespace)
                opened[key] = found, HostSet(found)
            open_hosts, known = opened[key]
            missing = [host for host in spec.hosts or () if not known.meets(host.lower())]
            if missing and open_hosts:
                text = (
                    f"one or more host [{words(missing)}] defined in VirtualService "
                    f"{resource.namespace}/{resource.name} not found in Gateway {full}."
                )
                yield resource.problem(
                    "IST0132",
                    Level.WARNING,
                    text,
                    f"spec.gateways[{index}]",
                    expected=listed(open_hosts),
                    hint=f"The Gateway opens {listed(open_hosts)}: use one of these hosts, or "
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
