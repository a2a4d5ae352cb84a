"""Trace: from Envoy's reason for a refusal back to the line of YAML that caused it.

Envoy speaks of its own resources (``missing ): (``); the student wrote a VirtualService.  The word
of the document that the reason quotes, whole or in part, is the best guess, else the only resource that could have
made this type of xDS.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from mesh.istio import Resource
from mesh.istio.document import Node
from mesh.istio.resource import Step
from mesh.pilot.status import Nack

_SOURCES = {
    "RDS": ("VirtualService", "HTTPRoute", "Gateway", "DestinationRule"),
    "LDS": ("Gateway", "Sidecar", "RequestAuthentication", "AuthorizationPolicy"),
    "CDS": ("DestinationRule", "ServiceEntry", "EnvoyFilter"),
    "EDS": ("DestinationRule", "ServiceEntry"),
}


def trace(nack: Nack, resources: Sequence[Resource]) -> Nack:
    """Return the refusal with resource, file and line, where they can be told.

    ``resources`` are the candidates, those of the change that was refused.
    """
    kinds = _SOURCES.get(nack.type, ())
    candidates = [each for each in resources if each.kind in kinds]
    quoted = nack.reason.rpartition(": ")[2].strip()
    best: tuple[int, Resource, tuple[Step, ...]] | None = None
    for resource in candidates:
        for path, word in _words(resource):
            size = len(word) if word in nack.reason else len(quoted) if quoted in word else 0
            if size > (best[0] if best else 0):
                best = (size, resource, path)
    if best is not None:
        _, resource, path = best
    elif len(candidates) == 1:
        resource, path = candidates[0], ()
    else:
        return nack
    place = resource.source.value_position(path) if path else resource.position()
    return replace(nack, resource=resource.full_name, file=place.file, line=place.line)


def _words(resource: Resource) -> Iterator[tuple[tuple[Step, ...], str]]:
    spec = resource.source.node(("spec",))
    return _leaves(spec, ("spec",)) if spec else iter(())


def _leaves(node: Node, path: tuple[Step, ...]) -> Iterator[tuple[tuple[Step, ...], str]]:
    children: Iterable[tuple[Step, Node]] = [
        *((key, entry.node) for key, entry in node.entries.items()),
        *enumerate(node.items),
    ]
    for step, child in children:
        if isinstance(child.value, str) and child.value:
            yield (*path, step), child.value
        yield from _leaves(child, (*path, step))
