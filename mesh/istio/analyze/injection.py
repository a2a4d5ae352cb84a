"""IST0102, IST0103, IST0123, IST0148: namespaces and pods that are outside the mesh.

A namespace with the label ``istio-injection: enabled`` (or ``istio.io/rev``) gets sidecars, one with
``istio.io/dataplane-mode: ambient`` none; a pod that was started before the label came has none
until it is restarted.
Source: istio/istio ``pkg/config/analysis/analyzers/injection``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from mesh.istio.analyze.context import Context
from mesh.istio.analyze.pods import AMBIENT, DATAPLANE, INJECTION, REVISION, has_proxy
from mesh.istio.models.kubernetes import ConfigData, Pod
from mesh.istio.nearest import words
from mesh.istio.problem import Level, Problem
from mesh.istio.resource import Resource
from mesh.topology import INJECT, ROOT_NAMESPACE

IGNORED = frozenset(["kube-system", "kube-public", "kube-node-lease", "local-path-storage"])
"""Namespaces of Kubernetes itself, which Istio's analyzers leave alone."""
_INJECTOR = "istio-sidecar-injector"


def namespaces(context: Context) -> Iterator[Problem]:
    """Find namespaces that neither want sidecars nor say that they do not."""
    for resource in context.by_kind.get("Namespace", ()):
        if resource.name in {*IGNORED, ROOT_NAMESPACE}:
            continue
        labels = resource.labels
        if labels.get(DATAPLANE) == AMBIENT or {INJECTION, REVISION} & labels.keys():
            continue
        name, path = resource.name, "metadata.labels" if labels else "metadata"
        if _by_default(context):
            yield resource.problem(
                "IST0148",
                Level.INFO,
                "is enabled for Istio injection, as Istio is installed with "
                "enableNamespacesByDefault as true.",
                path,
                hint=f"Write the label `{INJECTION}` to say it here.",
            )
            continue
        yield resource.problem(
            "IST0102",
            Level.INFO,
            "The namespace is not enabled for Istio injection. Run 'kubectl label namespace "
            f"{name} istio-injection=enabled' to enable it, or 'kubectl label namespace {name} "
            "istio-injection=disabled' to explicitly mark it as not needing injection.",
            path,
            expected=f"{INJECTION}: enabled",
            hint="Add the label `istio-injection: enabled`.",
        )


def contradicting_labels(context: Context) -> Iterator[Problem]:
    """Find namespaces whose labels say two things about sidecars."""
    for resource in context.by_kind.get("Namespace", ()):
        said = resource.labels.get(INJECTION)
        keys = [each for each in (INJECTION, REVISION, DATAPLANE) if each in resource.labels]
        if (
            resource.name in {*IGNORED, ROOT_NAMESPACE}
            or len(keys) < 2
            or said not in (None, "enabled")
        ):
            continue
        found = words(f"{each}={resource.labels[each]}" for each in keys)
        yield resource.problem(
            "IST0123",
            Level.WARNING,
            f"The namespace has more than one type of injection labels [{found}], which may lead "
            "to undefined behavior. Make sure only one injection label exists.",
            "metadata.labels",
            hint=f"Keep one of {', '.join(keys)}.",
        )


def _by_default(context: Context) -> bool:
    """True when the injector's configuration says that namespaces without a label get sidecars."""
    for each in context.by_kind.get("ConfigMap", ()):
        if each.name == _INJECTOR and isinstance(each.spec, ConfigData):
            try:
                values: Any = json.loads((each.spec.data or {}).get("values", ""))
            except ValueError:
                return False
            hook = values.get("sidecarInjectorWebhook") if isinstance(values, dict) else None
            return isinstance(hook, dict) and hook.get("enableNamespacesByDefault") is True
    return False


def pods_without_proxy(context: Context) -> Iterator[Problem]:
    """Find pods without a sidecar in a namespace that wants sidecars."""
    wanted = {
        each.name
        for each in context.by_kind.get("Namespace", ())
        if each.labels.get(INJECTION) == "enabled" or REVISION in each.labels
    }
    for resource in context.by_kind.get("Pod", ()):
        spec = resource.spec
        if not isinstance(spec, Pod) or resource.namespace not in wanted:
            continue
        if _says_no(resource) or spec.host_network or has_proxy(spec):
            continue
        yield resource.problem(
            "IST0103",
            Level.WARNING,
            f"The pod {resource.namespace}/{resource.name} is missing the Istio proxy. This can "
            "often be resolved by restarting or redeploying the workload.",
            "spec.containers",
            hint=f'Restart it, or say that it needs none: label `{INJECT}: "false"`.',
        )


def _says_no(resource: Resource) -> bool:
    """True when a pod wants no sidecar; the label goes before the annotation."""
    said = resource.labels.get(INJECT, resource.annotations.get(INJECT, ""))
    return said.lower() == "false"
