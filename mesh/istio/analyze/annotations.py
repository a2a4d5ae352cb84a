"""IST0107, IST0108, IST0125, IST0135: annotations that Istio does not read as they stand.

An annotation with a typing error is silently ignored, so these are the hardest mistakes to see.
Names and places: istio/api ``annotation/annotations.yaml``.
"""

from __future__ import annotations

from collections.abc import Iterator

from mesh.istio.analyze.annotation_values import value_problem
from mesh.istio.analyze.context import Context
from mesh.istio.nearest import nearest
from mesh.istio.problem import Level, Problem
from mesh.istio.resource import Resource

_KINDS = ("Namespace", "Service", "Pod", "Deployment")
_ANY = "Any"
_SIDECAR = (
    "agentLogLevel bootstrapOverride componentLogLevel controlPlaneAuthPolicy discoveryAddress "
    "enableCoreDump extraStatTags inject interceptionMode logLevel nativeSidecar proxyCPU "
    "proxyCPULimit proxyImage proxyImageType proxyMemory proxyMemoryLimit rewriteAppHTTPProbers "
    "statsCompression statsEvictionInterval statsFlushInterval statsHistogramBins "
    "statsHistogramBuckets statsInclusionPrefixes statsInclusionRegexps "
    "statsInclusionSuffixes status userVolume userVolumeMount"
)
_TRAFFIC = (
    "excludeInboundPorts excludeInterfaces excludeOutboundIPRanges excludeOutboundPorts "
    "includeInboundPorts includeOutboundIPRanges includeOutboundPorts kubevirtInterfaces"
)
_READINESS = "applicationPorts failureThreshold initialDelaySeconds periodSeconds"
_PLACES: dict[str, tuple[str, ...]] = {
    **{f"sidecar.istio.io/{each}": ("Pod",) for each in _SIDECAR.split()},
    **{f"traffic.sidecar.istio.io/{each}": ("Pod",) for each in _TRAFFIC.split()},
    **{f"readiness.status.sidecar.istio.io/{each}": ("Pod",) for each in _READINESS.split()},
    "alpha.istio.io/canonical-serviceaccounts": ("Service",),
    "alpha.istio.io/identity": ("Pod",),
    "alpha.istio.io/kubernetes-serviceaccounts": ("Service",),
    "ambient.istio.io/bypass-inbound-capture": ("Pod",),
    "ambient.istio.io/dns-capture": ("Pod",),
    "ambient.istio.io/redirection": ("Pod",),
    "ambient.istio.io/waypoint-inbound-binding": ("GatewayClass",),
    "galley.istio.io/analyze-suppress": (_ANY,),
    "gateway.istio.io/controller-version": (_ANY,),
    "gateway.istio.io/name-override": ("Gateway",),
    "gateway.istio.io/service-account": ("Gateway",),
    "inject.istio.io/templates": ("Pod",),
    "install.operator.istio.io/chart-owner": (_ANY,),
    "install.operator.istio.io/owner-generation": (_ANY,),
    "internal.istio.io/parents": (_ANY,),
    "istio.io/autoRegistrationGroup": ("WorkloadEntry",),
    "istio.io/connectedAt": ("WorkloadEntry",),
    "istio.io/disconnectedAt": ("WorkloadEntry",),
    "istio.io/dry-run": ("AuthorizationPolicy",),
    "istio.io/reroute-virtual-interfaces": ("Pod",),
    "istio.io/rev": ("Pod",),
    "istio.io/use-waypoint-canary-weight": ("Service", "ServiceEntry", "Namespace"),
    "istio.io/workloadController": ("WorkloadEntry",),
    "kubernetes.io/ingress.class": ("Ingress",),
    "networking.istio.io/address-type": ("Gateway",),
    "networking.istio.io/exportTo": ("Service",),
    "networking.istio.io/service-type": ("Gateway",),
    "networking.istio.io/traffic-distribution": ("Service", "Namespace", "ServiceEntry"),
    "policy.istio.io/check": ("Pod",),
    "policy.istio.io/lang": ("Pod",),
    "prometheus.istio.io/merge-metrics": ("Pod",),
    "proxy.istio.io/config": ("Pod",),
    "proxy.istio.io/overrides": ("Pod",),
    "sidecar.istio.io/proxyImage": ("Pod",),
    "status.sidecar.istio.io/port": ("Pod",),
    "topology.istio.io/controlPlaneClusters": ("Namespace",),
    "traffic.istio.io/nodeSelector": ("Service",),
}
_INJECT = "sidecar.istio.io/inject"
_DEPRECATED = frozenset(
    [
        _INJECT,
        "alpha.istio.io/canonical-serviceaccounts",
        "alpha.istio.io/kubernetes-serviceaccounts",
        "sidecar.istio.io/discoveryAddress",
        "sidecar.istio.io/extraStatTags",
        "sidecar.istio.io/statsCompression",
        "sidecar.istio.io/statsInclusionPrefixes",
        "sidecar.istio.io/statsInclusionRegexps",
        "sidecar.istio.io/statsInclusionSuffixes",
        "traffic.sidecar.istio.io/kubevirtInterfaces",
    ]
)
_BY_ITSELF = frozenset(
    ["sidecar.istio.io/status", "gateway.istio.io/controller-version", "istio.io/rev"]
)
"""Istio writes these itself, so nobody is asked about them."""


def istio_annotations(context: Context) -> Iterator[Problem]:
    """Check the annotations of Kubernetes objects whose name belongs to Istio."""
    for kind in _KINDS:
        for resource in context.by_kind.get(kind, ()):
            own = resource.annotations, resource.labels
            yield from _of(resource, *own, "metadata.annotations", kind)
            template = getattr(resource.spec, "template", None)
            meta = template.metadata if template is not None else None
            if meta is not None and meta.annotations:
                path = "spec.template.metadata.annotations"
                yield from _of(resource, meta.annotations, meta.labels or {}, path, "Pod")


def _of(
    resource: Resource, found: dict[str, str], labels: dict[str, str], path: str, kind: str
) -> Iterator[Problem]:
    for name, value in found.items():
        domain, slash, _ = name.partition("/")
        if not (slash and domain.endswith("istio.io")) and name != "kubernetes.io/ingress.class":
            continue
        if name in _BY_ITSELF:
            continue
        place = f'{path}["{name}"]'
        allowed = _PLACES.get(name)
        if allowed is None:
            near = nearest(name, _PLACES)
            yield resource.problem(
                "IST0108",
                Level.WARNING,
                f"Unknown annotation: {name}",
                place,
                nearest=near,
                hint=f"Did you mean {near}?" if near else "Istio ignores it; remove it.",
            )
            continue
        if name in _DEPRECATED and not (name == _INJECT and _INJECT in labels):
            yield _deprecated(resource, name, value, place)
        if _ANY not in allowed and kind not in allowed:
            where = ", ".join(allowed)
            into = " (spec.template.metadata)" if kind == "Deployment" and "Pod" in allowed else ""
            yield resource.problem(
                "IST0107",
                Level.WARNING,
                f"Misplaced annotation: {name} can only be applied to {where}",
                place,
                expected=where,
                hint=f"Move it to the metadata of a {allowed[0]}{into}.",
            )
        elif why := value_problem(name, value):
            yield resource.problem(
                "IST0125",
                Level.WARNING,
                f"Invalid annotation {name}: {why}",
                place,
                hint="The injector refuses a pod with such a value.",
            )


def _deprecated(resource: Resource, name: str, value: str, place: str) -> Problem:
    instead = f' in favor of the "{_INJECT}" label' if name == _INJECT else ""
    return resource.problem(
        "IST0135",
        Level.INFO,
        f'Annotation "{name}" has been deprecated{instead} and may not work in future Istio '
        "versions.",
        place,
        hint=f'Write the label `{_INJECT}: "{value}"` on the pods instead.'
        if instead
        else "It works for now; a later release may leave it out.",
    )
