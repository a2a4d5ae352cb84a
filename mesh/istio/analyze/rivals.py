"""IST0110, IST0111, IST0159, IST0160, IST0167: Sidecars and Telemetries that compete for pods.

Of two for the same pods one is taken, and which one is not defined.  Where it is known what runs,
two selectors compete when some pod fits both; else when they are the same.  A Sidecar is for
sidecars: in ambient mode, where pods have none, it does nothing.
Source: istio/istio ``pkg/config/analysis/analyzers`` ``sidecar`` and ``telemetry``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from mesh.istio.analyze.context import Context
from mesh.istio.analyze.pods import AMBIENT, DATAPLANE, INJECTION, REVISION
from mesh.istio.analyze.selectors import attached, selected_labels, selector_text
from mesh.istio.nearest import words
from mesh.istio.problem import Level, Problem
from mesh.istio.resource import Resource


@dataclass(frozen=True, slots=True)
class _Family:
    """How Istio calls the resources of a kind, and the field that selects."""

    kind: str
    plural: str
    same_pods: str
    no_selector: str
    field: str


_SIDECARS = _Family("Sidecar", "Sidecars", "IST0110", "IST0111", "workloadSelector")
_TELEMETRIES = _Family("Telemetry", "Telemetries", "IST0159", "IST0160", "selector")


def sidecars(context: Context) -> Iterator[Problem]:
    """Find Sidecars that compete for the same pods."""
    return _rivals(context, _SIDECARS)


def telemetries(context: Context) -> Iterator[Problem]:
    """Find Telemetry resources that compete for the same pods."""
    return _rivals(context, _TELEMETRIES)


def _rivals(context: Context, family: _Family) -> Iterator[Problem]:
    whole: dict[str, list[Resource]] = {}
    shared: dict[tuple[str, str], list[Resource]] = {}
    for resource in context.by_kind.get(family.kind, ()):
        labels = selected_labels(resource)
        if attached(resource) or _ambient(context, family, resource, labels):
            continue
        if not labels:
            whole.setdefault(resource.namespace, []).append(resource)
        elif not context.pods:
            shared.setdefault((resource.namespace, selector_text(labels)), []).append(resource)
        for pod in context.pods.select(resource.namespace, labels) if labels else ():
            shared.setdefault((resource.namespace, pod.name), []).append(resource)
    for namespace, found in whole.items():
        yield from _told(family, family.no_selector, found, namespace, "have no workload selector")
    told: set[int] = set()
    for (namespace, pod_name), found in shared.items():
        if len(found) > 1 and not all(id(each) in told for each in found):
            what = f'select the same workload pod "{pod_name}"'
            new = [each for each in found if id(each) not in told]
            told.update(map(id, new))
            yield from _told(family, family.same_pods, found, namespace, what, new)


def _told(
    family: _Family,
    code: str,
    found: list[Resource],
    namespace: str,
    what: str,
    new: list[Resource] | None = None,
) -> Iterator[Problem]:
    """Yield what is said about resources that compete; ``new``: those that are told."""
    if len(found) < 2:
        return
    names = words(sorted(f"{each.namespace}/{each.name}" for each in found))
    text = (
        f'The {family.plural} [{names}] in namespace "{namespace}" {what}, which can lead to '
        "undefined behavior."
    )
    hint = f"Keep one, or give each a {family.field} of its own."
    path = "spec" if code == family.no_selector else f"spec.{family.field}"
    for each in found if new is None else new:
        yield each.problem(code, Level.ERROR, text, path, hint=hint)


def ineffective_sidecars(context: Context) -> Iterator[Problem]:
    """Find Sidecars for pods and namespaces in ambient mode."""
    for resource in context.by_kind.get("Sidecar", ()):
        labels = selected_labels(resource)
        if _ambient(context, _SIDECARS, resource, labels):
            what = "selected workload" if labels else "namespace"
            yield resource.problem(
                "IST0167",
                Level.WARNING,
                f"The policy has no impact: {what} is in ambient mode, the policy has no impact.",
                "spec.workloadSelector" if labels else "metadata.namespace",
                hint="Nothing here has a sidecar; remove it, or write the rule for a waypoint.",
            )


def _ambient(context: Context, family: _Family, resource: Resource, labels: dict[str, str]) -> bool:
    if family is not _SIDECARS:
        return False
    if labels:
        return any(each.ambient for each in context.pods.select(resource.namespace, labels))
    return resource.namespace in _ambient_namespaces(context)


def _ambient_namespaces(context: Context) -> set[str]:
    return {
        each.name
        for each in context.by_kind.get("Namespace", ())
        if each.labels.get(DATAPLANE) == AMBIENT
        and each.labels.get(INJECTION) != "enabled"
        and not each.labels.get(REVISION)
    }
