"""IST0107, IST0108, IST0135: annotations that Istio does not read where they stand.

An annotation with a typing error is silently ignored, so these are the hardest mistakes to see.
Names and places: istio/api ``annotation/annotations.yaml``.
"""

from __future__ import annotations

from collections.abc import Iterator

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
    "statsCompression statsHistogramBuckets statsInclusionPrefixes statsInclusionRegexps "
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
    "gateway.istio.io/controller-version": ("Gateway",),
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


def istio_annotations(context: Context) -> Iterator[Problem]:
    """Check the annotations of Kubernetes objects whose name belongs to Istio."""
    for kind in _KINDS:
        for resource in context.by_kind.get(kind, ()):
            yield from _of(resource, resource.annotations, "metadata.annotations", kind)
            template = getattr(resource.spec, "template", None)
            meta = template.metadata if template is not None else None
            if meta is not None and meta.annotations:
                path = "spec.template.metadata.annotations"
                yield from _of(resource, meta.annotations, path, "Pod")


def _of(resource: Resource, found: dict[str, str], path: str, kind: str) -> Iterator[Problem]:
    for name in found:
        domain, slash, _ = name.partition("/")
        if not (slash and domain.endswith("istio.io")) and name != "kubernetes.io/ingress.class":
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
        if name == _INJECT and _INJECT not in resource.labels:
            yield resource.problem(
                "IST0135",
                Level.INFO,
                f'Annotation "{name}" has been deprecated in favor of the "{_INJECT}" label and '
                "may not work in future Istio versions.",
                place,
                hint=f'Write the label `{_INJECT}: "{found[name]}"` on the pods instead.',
            )
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
