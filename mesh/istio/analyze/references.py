"""IST0101: a route to a host, subset or gateway that does not exist.

At run time a missing subset is 503 with the flag NC and an empty body, a missing host likewise;
Istio says it before: ``Referenced host+subset in destinationrule not found``.
"""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches

from mesh.istio.analyze.context import MESH, Context, Reference, covers, resolve
from mesh.istio.problem import Level, Problem

CODE = "IST0101"


def references(context: Context) -> Iterator[Problem]:
    """Check the destinations and gateways of all VirtualServices."""
    for each in context.references:
        yield from _destination(context, each)
    for resource, spec in context.virtual_services():
        for index, name in enumerate(spec.gateways or ()):
            full = name if "/" in name else f"{resource.namespace}/{name}"
            if name == MESH or full in context.gateways or not context.gateways:
                continue
            if "." in name:
                continue
            known = [key.partition("/")[2] for key in context.gateways]
            near = get_close_matches(name, known, n=1)
            yield resource.problem(
                CODE,
                Level.ERROR,
                f'Referenced gateway not found: "{name}"',
                f"spec.gateways[{index}]",
                expected=", ".join(sorted(context.gateways)),
                nearest=near[0] if near else "",
                hint="Name the metadata.name of a Gateway (namespace/name for another namespace).",
            )


def _destination(context: Context, each: Reference) -> Iterator[Problem]:
    host = resolve(each.destination.host, each.resource.namespace)
    subset = each.destination.subset
    if context.knows_services and not _known(context, host):
        names = {name.split(".")[0]: name for name in context.services}
        near = get_close_matches(each.destination.host.split(".")[0].lower(), names, n=1)
        what = "mirror host" if each.mirror else "host"
        yield each.resource.problem(
            CODE,
            Level.ERROR,
            f'Referenced {what} not found: "{each.destination.host}"',
            f"{each.path}.host",
            expected=", ".join(sorted(context.services)),
            nearest=near[0] if near else "",
            hint=f"Did you mean {near[0]}?"
            if near
            else "Name a Service that runs, or add a ServiceEntry for a host outside the mesh.",
        )
        return
    if not subset:
        return
    known = context.subsets_of(host)
    if subset in known:
        return
    near = get_close_matches(subset, known, n=1, cutoff=0.3)
    what = "mirror+subset" if each.mirror else "host+subset"
    if known:
        hint = f"The DestinationRule of this host defines {', '.join(sorted(known))}."
        if near:
            hint += f" Did you mean {near[0]}?"
    else:
        hint = (
            f"Write a DestinationRule with host {each.destination.host} and a subset named "
            f"{subset}, and apply it before this; until then: 503, flag NC."
        )
    yield each.resource.problem(
        CODE,
        Level.ERROR,
        f'Referenced {what} in destinationrule not found: "{each.destination.host}+{subset}"',
        f"{each.path}.subset",
        expected=", ".join(sorted(known)),
        nearest=near[0] if near else "",
        hint=hint,
    )


def _known(context: Context, host: str) -> bool:
    if host in context.services:
        return True
    return any(name.startswith("*") and covers(name, host) for name in context.services)
