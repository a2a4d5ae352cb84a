"""IST0109: two VirtualServices of the mesh for one host; which one wins is not defined."""

from __future__ import annotations

from collections.abc import Iterator

from mesh.istio.analyze.context import MESH, Context, resolve
from mesh.istio.nearest import MAX_SHOWN
from mesh.istio.problem import Level, Problem
from mesh.istio.resource import Resource


def duplicate_hosts(context: Context) -> Iterator[Problem]:
    """Compare the hosts of all VirtualServices that are bound to the sidecars."""
    owners: dict[str, list[tuple[Resource, int]]] = {}
    for resource, spec in context.virtual_services():
        if spec.gateways and MESH not in spec.gateways:
            continue
        for index, host in enumerate(spec.hosts or ()):
            owners.setdefault(resolve(host, resource.namespace), []).append((resource, index))
    for host, places in owners.items():
        if len({id(resource) for resource, _ in places}) < 2:
            continue
        names = ",".join(f"{each.namespace}/{each.name}" for each, _ in places[:MAX_SHOWN])
        if len(places) > MAX_SHOWN:
            names += f" and {len(places) - MAX_SHOWN} more"
        for resource, index in places:
            other = next(each for each, _ in places if each is not resource)
            yield resource.problem(
                "IST0109",
                Level.ERROR,
                f"The VirtualServices {names} associated with mesh gateway define the same host "
                f"{host} which can lead to undefined behavior. This can be fixed by merging the "
                "conflicting VirtualServices into a single resource.",
                f"spec.hosts[{index}]",
                hint=f"Put the http rules of {other.name} and this one into one "
                f"VirtualService, the special ones first ({other.position()}).",
            )
