"""IST0102, IST0103: namespaces and pods that are outside the mesh, as Istio would see them.

A namespace with the label ``istio-injection: enabled`` (or ``istio.io/rev``) gets sidecars; a pod
that was started before the label came has none until it is restarted.
Source: istio/istio ``pkg/config/analysis/analyzers/injection``.
"""

from __future__ import annotations

from collections.abc import Iterator

from mesh.istio.analyze.context import Context
from mesh.istio.models.kubernetes import Pod
from mesh.istio.problem import Level, Problem
from mesh.topology import ROOT_NAMESPACE

_LABEL, _REVISION, _INJECT = "istio-injection", "istio.io/rev", "sidecar.istio.io/inject"
_PROXY = "istio-proxy"
_SYSTEM = frozenset(["kube-system", "kube-public", "kube-node-lease", ROOT_NAMESPACE])


def namespaces(context: Context) -> Iterator[Problem]:
    """Find namespaces that neither want sidecars nor say that they do not."""
    for resource in context.by_kind.get("Namespace", ()):
        if resource.name in _SYSTEM or {_LABEL, _REVISION} & resource.labels.keys():
            continue
        name = resource.name
        yield resource.problem(
            "IST0102",
            Level.INFO,
            "The namespace is not enabled for Istio injection. Run 'kubectl label namespace "
            f"{name} istio-injection=enabled' to enable it, or 'kubectl label namespace {name} "
            "istio-injection=disabled' to explicitly mark it as not needing injection.",
            "metadata.labels" if resource.labels else "metadata",
            expected=f"{_LABEL}: enabled",
            hint="Add the label `istio-injection: enabled`.",
        )


def pods_without_proxy(context: Context) -> Iterator[Problem]:
    """Find pods without a sidecar in a namespace that wants sidecars."""
    wanted = {
        each.name
        for each in context.by_kind.get("Namespace", ())
        if each.labels.get(_LABEL) == "enabled" or _REVISION in each.labels
    }
    for resource in context.by_kind.get("Pod", ()):
        spec = resource.spec
        if not isinstance(spec, Pod) or resource.namespace not in wanted:
            continue
        if "false" in (resource.labels.get(_INJECT), resource.annotations.get(_INJECT)):
            continue
        containers = [*spec.containers, *(spec.init_containers or ())]
        if not any(each.name == _PROXY for each in containers):
            yield resource.problem(
                "IST0103",
                Level.WARNING,
                f"The pod {resource.name} is missing the Istio proxy. This can often be resolved "
                "by restarting or redeploying the workload.",
                "spec.containers",
                hint=f'Restart it, or say that it needs none: label `{_INJECT}: "false"`.',
            )
