"""IST0144, IST0146, IST0147: pods that run as the sidecar does, or wait for an image nobody gives.

What user 1337 sends is not captured, since the sidecar runs as 1337.  ``image: auto`` (of gateways)
is replaced by the injector; where that does not come, the pod never starts.
Source: istio/istio ``pkg/config/analysis/analyzers`` ``deployment/pod.go``, ``injection/image-auto.go``.
"""

from __future__ import annotations

from collections.abc import Iterator

from mesh.istio.analyze.context import Context
from mesh.istio.analyze.pods import INJECTION, PROXY, REVISION
from mesh.istio.models.kubernetes import Deployment, Pod
from mesh.istio.problem import Level, Problem
from mesh.istio.resource import Resource
from mesh.topology import INJECT

_RESERVED = 1337
_AUTO = "auto"
_OF_ISTIO = (PROXY, "istio-operator")


def _pods(context: Context) -> Iterator[tuple[Resource, Pod, str]]:
    for each in context.by_kind.get("Pod", ()):
        if isinstance(each.spec, Pod):
            yield each, each.spec, "spec"
    for each in context.by_kind.get("Deployment", ()):
        if isinstance(each.spec, Deployment) and each.spec.template.spec is not None:
            yield each, each.spec.template.spec, "spec.template.spec"


def reserved_user(context: Context) -> Iterator[Problem]:
    """Find pods and containers that run as user 1337."""
    for resource, pod, path in _pods(context):
        if "istio" in resource.labels or resource.labels.get("release") == "istio":
            continue
        places = [f"{path}"] if _runs_as_sidecar(pod) else []
        places += [
            f"{path}.containers[{index}]"
            for index, each in enumerate(pod.containers)
            if each.name not in _OF_ISTIO
            and each.security_context is not None
            and each.security_context.run_as_user == _RESERVED
        ]
        for place in places:
            yield resource.problem(
                "IST0144",
                Level.WARNING,
                "User ID (UID) 1337 is reserved for the sidecar proxy.",
                f"{place}.securityContext.runAsUser",
                hint="Take another number: what 1337 sends passes by the sidecar.",
            )


def _runs_as_sidecar(pod: Pod) -> bool:
    return pod.security_context is not None and pod.security_context.run_as_user == _RESERVED


def image_auto(context: Context) -> Iterator[Problem]:
    """Find ``image: auto`` that nothing replaces."""
    spaces = {each.name: each.labels for each in context.by_kind.get("Namespace", ())}
    for resource, pod, path in _pods(context):
        at = next(
            (
                index
                for index, each in enumerate(pod.containers)
                if each.name == PROXY and each.image == _AUTO
            ),
            None,
        )
        if at is None:
            continue
        text = (
            f"{resource.kind} {resource.name} contains `image: auto` but does not match any Istio "
            "injection webhook selectors."
        )
        place = f"{path}.containers[{at}].image"
        label = f'the label `{INJECT}: "true"`'
        if resource.kind == "Pod":
            hint = f"The injector would have replaced it: start the pod anew, with {label}."
            yield resource.problem("IST0147", Level.ERROR, text, place, hint=hint)
        elif not _comes(resource, spaces):
            hint = f"Write {label} on the pods."
            yield resource.problem("IST0146", Level.WARNING, text, place, hint=hint)


def _comes(resource: Resource, spaces: dict[str, dict[str, str]]) -> bool:
    """True when the injector sees the pods of a Deployment; of a namespace not known it is believed."""
    meta = resource.spec.template.metadata if isinstance(resource.spec, Deployment) else None
    labels = (meta.labels if meta else None) or {}
    if labels.get(INJECT) == "true" or REVISION in labels:
        return True
    space = spaces.get(resource.namespace)
    return space is None or space.get(INJECTION) == "enabled" or REVISION in space
