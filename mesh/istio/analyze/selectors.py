"""IST0127, IST0101: selectors that pick no pod.

A policy of the root namespace is for the pods of all namespaces; a Sidecar or a Telemetry is for
those of its own.  A policy does nothing at pods without a sidecar.
Source: istio/istio ``pkg/config/analysis/analyzers`` ``authz``, ``sidecar`` and ``telemetry``.
"""

from __future__ import annotations

from collections.abc import Iterator
from types import MappingProxyType

from mesh.istio.analyze.context import Context
from mesh.istio.analyze.pods import PodGroup
from mesh.istio.nearest import MAX_SHOWN
from mesh.istio.problem import Level, Problem
from mesh.istio.resource import Resource
from mesh.topology import EGRESS, ROOT_NAMESPACE

_MATCH_LABELS, _LABELS = "spec.selector.matchLabels", "spec.workloadSelector.labels"
_POLICIES = MappingProxyType(
    {
        "AuthorizationPolicy": _MATCH_LABELS,
        "PeerAuthentication": _MATCH_LABELS,
        "RequestAuthentication": _MATCH_LABELS,
        "EnvoyFilter": _LABELS,
    }
)
_OWN_NAMESPACE = MappingProxyType({"Telemetry": _MATCH_LABELS, "Sidecar": _LABELS})
_GATEWAYS = ("ingressgateway", EGRESS)


def no_workload(context: Context) -> Iterator[Problem]:
    """Find selectors that fit no pod, where it is known what runs."""
    if not context.pods:
        return
    for kind, path in _POLICIES.items():
        for resource in context.by_kind.get(kind, ()):
            labels = selected_labels(resource)
            if labels and not _policed(context, resource, labels):
                text = "No matching workloads for this resource with the following labels: "
                text += selector_text(labels)
                yield _nobody(context, resource, "IST0127", Level.WARNING, text, path)
    for kind, path in _OWN_NAMESPACE.items():
        for resource in context.by_kind.get(kind, ()):
            labels = selected_labels(resource)
            if not labels or context.pods.select(resource.namespace, labels):
                continue
            if not is_installed(context, labels):
                text = f'Referenced selector not found: "{selector_text(labels)}"'
                yield _nobody(context, resource, "IST0101", Level.ERROR, text, path)


def empty_namespaces(context: Context) -> Iterator[Problem]:
    """Find AuthorizationPolicies for a whole namespace in which nothing of the mesh runs."""
    if not context.pods:
        return
    for resource in context.by_kind.get("AuthorizationPolicy", ()):
        if resource.namespace == ROOT_NAMESPACE or attached(resource):
            continue
        if selected_labels(resource) or _policed(context, resource, {}):
            continue
        text = "No matching workloads for this resource with the following labels: "
        yield _nobody(context, resource, "IST0127", Level.WARNING, text, "metadata")


def _nobody(
    context: Context, resource: Resource, code: str, level: Level, text: str, path: str
) -> Problem:
    groups = context.pods.by_namespace.get(resource.namespace, ())
    known = sorted({f"app={each.labels.get('app', '')}" for each in groups})
    return resource.problem(
        code,
        level,
        text,
        path,
        expected="; ".join(known[:MAX_SHOWN]),
        hint=f"The pods of {resource.namespace} have {', '.join(known[:6])}."
        if known
        else f"No pod runs in namespace {resource.namespace}.",
    )


def _policed(context: Context, resource: Resource, labels: dict[str, str]) -> bool:
    """True when a policy is in force somewhere."""
    if resource.namespace == ROOT_NAMESPACE:
        found: list[PodGroup] = context.pods.anywhere(labels)
    else:
        found = context.pods.select(resource.namespace, labels)
    if any(each.in_mesh or each.ambient for each in found):
        return True
    return not found and is_installed(context, labels)


def is_installed(context: Context, labels: dict[str, str]) -> bool:
    """True for the labels of the gateways that Istio's installation brings, when no file has any."""
    return labels.get("istio") in _GATEWAYS and not context.pods.anywhere(labels)


def attached(resource: Resource) -> bool:
    """True when a resource names what it is for (``targetRefs``) instead of selecting it."""
    spec = resource.spec
    return bool(getattr(spec, "target_refs", None) or getattr(spec, "target_ref", None))


def selected_labels(resource: Resource) -> dict[str, str]:
    """Return the labels of a resource's selector; none: it is for all pods."""
    selector = getattr(resource.spec, "selector", None)
    if selector is not None:
        labels = getattr(selector, "match_labels", None)
    else:
        labels = getattr(getattr(resource.spec, "workload_selector", None), "labels", None)
    return dict(labels or {})


def selector_text(labels: dict[str, str]) -> str:
    """Write labels as Kubernetes writes a selector."""
    return ",".join(f"{key}={value}" for key, value in sorted(labels.items()))
