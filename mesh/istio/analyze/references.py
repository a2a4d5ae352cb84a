"""IST0101: a route to a host, subset or gateway that does not exist.

At run time a missing subset is 503 with the flag NC and an empty body, a missing host likewise;
Istio says it before: ``Referenced host+subset in destinationrule not found``.
"""

from __future__ import annotations

from collections.abc import Iterator

from mesh.istio.analyze.context import MESH, Context, Reference, resolve
from mesh.istio.nearest import listed, nearest
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
            yield resource.problem(
                CODE,
                Level.ERROR,
                f'Referenced gateway not found: "{name}"',
                f"spec.gateways[{index}]",
                expected=listed(context.gateways),
                nearest=nearest(name, known),
                hint="Name the metadata.name of a Gateway (namespace/name for another namespace).",
            )


def _destination(context: Context, each: Reference) -> Iterator[Problem]:
    host = resolve(each.destination.host, each.resource.namespace)
    subset = each.destination.subset
    if context.knows_services and not context.known_hosts.covers(host):
        near = nearest(each.destination.host.split(".")[0].lower(), context.service_names)
        what = "mirror host" if each.mirror else "host"
        yield each.resource.problem(
            CODE,
            Level.ERROR,
            f'Referenced {what} not found: "{each.destination.host}"',
            f"{each.path}.host",
            expected=context.services_text,
            nearest=near,
            hint=f"Did you mean {near}?"
            if near
            else "Name a Service that runs, or add a ServiceEntry for a host outside the mesh.",
        )
        return
    if not subset:
        return
    known = context.subsets_of(host)
    if subset in known:
        return
    near = nearest(subset, known, cutoff=0.3)
    what = "mirror+subset" if each.mirror else "host+subset"
    if known:
        hint = f"The DestinationRule of this host defines {listed(known)}."
        if near:
            hint += f" Did you mean {near}?"
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
        expected=listed(known),
        nearest=near,
        hint=hint,
    )
