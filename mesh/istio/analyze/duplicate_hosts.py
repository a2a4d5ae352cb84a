"""IST0109: two VirtualServices of the mesh for one host; which one wins is not defined.

Two that are exported to different namespaces (``exportTo``) do not meet.
Source: istio/istio ``pkg/config/analysis/analyzers/virtualservice/conflictingmeshgatewayhosts.go``.
"""

from __future__ import annotations

from collections.abc import Iterator

from mesh.istio.analyze.context import MESH, Context
from mesh.istio.analyze.hosts import resolve
from mesh.istio.analyze.registry import ALL, scopes_of
from mesh.istio.nearest import MAX_SHOWN
from mesh.istio.problem import Level, Problem
from mesh.istio.resource import Resource

type _Place = tuple[Resource, int]


def duplicate_hosts(context: Context) -> Iterator[Problem]:
    """Compare the hosts of all VirtualServices that are bound to the sidecars."""
    owners: dict[tuple[str, str], list[_Place]] = {}
    for resource, spec in context.virtual_services():
        if spec.gateways and MESH not in spec.gateways:
            continue
        scopes = scopes_of(spec.export_to or (), resource.namespace)
        for index, host in enumerate(spec.hosts or ()):
            for scope in scopes:
                key = scope, resolve(host, resource.namespace)
                owners.setdefault(key, []).append((resource, index))
    told: set[int] = set()
    for (scope, host), own in owners.items():
        places = own if scope == ALL else [*own, *_exported(owners, host)]
        if len({id(resource) for resource, _ in places}) > 1:
            yield from _told(host, places, told)


def _exported(owners: dict[tuple[str, str], list[_Place]], host: str) -> list[_Place]:
    """Return who routes a host (or a pattern that covers it) for all namespaces."""
    wider = [f"*{host[start:]}" for start in range(len(host)) if host[start] == "."]
    return [
        place for each in dict.fromkeys((host, *wider)) for place in owners.get((ALL, each), ())
    ]


def _told(host: str, places: list[_Place], told: set[int]) -> Iterator[Problem]:
    found = list(dict.fromkeys(f"{each.namespace}/{each.name}" for each, _ in places))
    names = ",".join(found[:MAX_SHOWN])
    if len(found) > MAX_SHOWN:
        names += f" and {len(found) - MAX_SHOWN} more"
    for resource, index in places:
        other = next((each for each, _ in places if each is not resource), None)
        if other is None or id(resource) in told:
            continue
        told.add(id(resource))
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
