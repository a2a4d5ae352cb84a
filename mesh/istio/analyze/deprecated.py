"""IST0002: fields that still work and have a successor.

``fault.delay.percent`` counts whole percents; ``percentage.value`` took its place with Istio 1.1.
Envoy has no Lightstep any more.
Whole kinds that went are refused with the name of their successor (``mesh.istio.envelope``).
Source: istio/istio ``pkg/config/analysis/analyzers/deprecation``.
"""

from __future__ import annotations

from collections.abc import Iterator

from mesh.istio.analyze.context import Context
from mesh.istio.models.telemetry import Telemetry
from mesh.istio.problem import Level, Problem

_PERCENTAGE_SINCE = (1, 1)


def deprecated_fields(context: Context) -> Iterator[Problem]:
    """Find old fields that a newer one replaces."""
    if context.era.release < _PERCENTAGE_SINCE:
        return
    for resource, route, path in context.http_routes():
        delay = route.fault.delay if route.fault else None
        if delay is not None and (delay.percent or 0) > 0:
            yield resource.problem(
                "IST0002",
                Level.WARNING,
                "Deprecated: HTTPRoute.fault.delay.percent is deprecated; use "
                "HTTPRoute.fault.delay.percentage",
                f"{path}.fault.delay.percent",
                expected="percentage",
                hint=f"Write `percentage: {{value: {delay.percent}}}`; `meshctl fix` does it.",
            )


def lightstep(context: Context) -> Iterator[Problem]:
    """Find Telemetries that trace to a provider of a kind that is going."""
    providers = (context.mesh_config or {}).get("extensionProviders")
    names = {
        each.get("name")
        for each in (providers if isinstance(providers, list) else ())
        if isinstance(each, dict) and "lightstep" in each
    }
    for resource in context.by_kind.get("Telemetry", ()) if names else ():
        spec = resource.spec
        for index, tracing in enumerate(spec.tracing or () if isinstance(spec, Telemetry) else ()):
            for number, each in enumerate(tracing.providers or ()):
                if each.name in names:
                    yield resource.problem(
                        "IST0002",
                        Level.WARNING,
                        f"Deprecated: The Lightstep provider {each.name} is deprecated, please "
                        "migrate to OpenTelemetry provider.",
                        f"spec.tracing[{index}].providers[{number}].name",
                        hint="Write an `opentelemetry` provider into extensionProviders.",
                    )
