"""IST0157, IST0166: policies that are accepted and have no effect where they stand.

The pods of a Gateway of the Gateway API take a policy that names the Gateway (``targetRefs``), not one
that selects their labels.  An access log is written to a provider: without one here and without a
default in meshConfig there is none.
Source: istio/istio ``pkg/config/analysis/analyzers`` ``k8sgateway`` and ``telemetry/providers.go``.
"""

from __future__ import annotations

from collections.abc import Iterator

from mesh.istio.analyze.context import Context
from mesh.istio.analyze.selectors import attached, selected_labels
from mesh.istio.models.telemetry import Telemetry
from mesh.istio.problem import Level, Problem

_POLICIES = ("AuthorizationPolicy", "RequestAuthentication", "Telemetry", "WasmPlugin")
_GATEWAY_NAME = "gateway.networking.k8s.io/gateway-name"


def selected_gateways(context: Context) -> Iterator[Problem]:
    """Find policies that select the pods of a Gateway of the Gateway API."""
    for kind in _POLICIES:
        for resource in context.by_kind.get(kind, ()):
            labels = selected_labels(resource)
            if attached(resource) or not labels:
                continue
            for pod in context.pods.select(resource.namespace, labels):
                gateway = pod.labels.get(_GATEWAY_NAME)
                if gateway:
                    yield resource.problem(
                        "IST0166",
                        Level.WARNING,
                        f"Ineffective selector on Kubernetes Gateway {gateway}. Use the TargetRef "
                        "field instead.",
                        "spec.selector",
                        hint="Write `targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, "
                        f"name: {gateway}}}]`.",
                    )
                    break


def log_providers(context: Context) -> Iterator[Problem]:
    """Find access logs without a provider, where meshConfig is known and names no default."""
    config = context.mesh_config
    if config is None:
        return
    defaults = config.get("defaultProviders")
    if isinstance(defaults, dict) and defaults.get("accessLogging"):
        return
    for resource in context.by_kind.get("Telemetry", ()):
        spec = resource.spec
        logs = spec.access_logging if isinstance(spec, Telemetry) else None
        for index, each in enumerate(logs or ()):
            if not each.disabled and not each.providers:
                yield resource.problem(
                    "IST0157",
                    Level.WARNING,
                    f'The Telemetry {resource.name} in namespace "{resource.namespace}" with empty '
                    "providers will be ignored.",
                    f"spec.accessLogging[{index}]",
                    hint="Write `providers: [{name: envoy}]`.",
                )
