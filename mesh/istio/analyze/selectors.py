"""IST0110, IST0111, IST0127, IST0159, IST0160: selectors that pick the same pods twice, or none at all."""

from __future__ import annotations

from collections.abc import Iterator

from mesh.istio.analyze.context import Context
from mesh.istio.nearest import MAX_SHOWN
from mesh.istio.problem import Level, Problem
from mesh.istio.resource import Resource

_KINDS = {
    "AuthorizationPolicy": "spec.selector.matchLabels",
    "PeerAuthentication": "spec.selector.matchLabels",
    "RequestAuthentication": "spec.selector.matchLabels",
    "Telemetry": "spec.selector.matchLabels",
    "Sidecar": "spec.workloadSelector.labels",
    "EnvoyFilter": "spec.workloadSelector.labels",
}


def no_workload(context: Context) -> Iterator[Problem]:
    """Find selectors that fit no pod of their namespace."""
    if not context.pods:
        return
    for kind, path in _KINDS.items():
        for resource in context.by_kind.get(kind, ()):
            labels = _labels(resource)
            if labels and not context.select(resource.namespace, labels):
                text = ",".join(f"{key}={value}" for key, value in sorted(labels.items()))
                groups = context.pods.get(resource.namespace, ())
                known = sorted({f"app={each.labels.get('app', '')}" for each in groups})
                yield resource.problem(
                    "IST0127",
                    Level.WARNING,
                    f"No matching workloads for this resource with the following labels: {text}",
                    path,
                    expected="; ".join(known[:MAX_SHOWN]),
                    hint=f"The pods of {resource.namespace} have {', '.join(known[:6])}."
                    if known
                    else f"No pod runs in namespace {resource.namespace}.",
                )


def sidecars(context: Context) -> Iterator[Problem]:
    """Find Sidecars that compete for the same pods."""
    return _rivals(context, "Sidecar", "Sidecars", ("IST0110", "IST0111"), "spec.workloadSelector")


def telemetries(context: Context) -> Iterator[Problem]:
    """Find Telemetry resources that compete for the same pods."""
    return _rivals(context, "Telemetry", "Telemetries", ("IST0159", "IST0160"), "spec.selector")


def _rivals(
    context: Context, kind: str, plural: str, codes: tuple[str, str], selector: str
) -> Iterator[Problem]:
    seen: dict[tuple[str, str], list[Resource]] = {}
    for resource in context.by_kind.get(kind, ()):
        if getattr(resource.spec, "target_refs", None) or getattr(
            resource.spec, "target_ref", None
        ):
            continue
        labels = _labels(resource) or {}
        key = ",".join(f"{name}={value}" for name, value in sorted(labels.items()))
        seen.setdefault((resource.namespace, key), []).append(resource)
    for (namespace, key), found in seen.items():
        if len(found) < 2:
            continue
        names = ",".join(f"{each.namespace}/{each.name}" for each in found[:MAX_SHOWN])
        if len(found) > MAX_SHOWN:
            names += f" and {len(found) - MAX_SHOWN} more"
        what = f'select the same workload pod "{key}"' if key else "have no workload selector"
        text = (
            f'The {plural} [{names}] in namespace "{namespace}" {what}, which can lead to '
            "undefined behavior."
        )
        hint = f"Keep one, or give each a {selector.removeprefix('spec.')} of its own."
        for each in found:
            path = selector if key else "spec"
            yield each.problem(codes[0] if key else codes[1], Level.ERROR, text, path, hint=hint)


def _labels(resource: Resource) -> dict[str, str] | None:
    selector = getattr(resource.spec, "selector", None)
    if selector is not None:
        labels = getattr(selector, "match_labels", None)
    else:
        labels = getattr(getattr(resource.spec, "workload_selector", None), "labels", None)
    return dict(labels) if labels else None
