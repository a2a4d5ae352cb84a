"""KIT0104: a fault without a percentage never fires.

Envoy's fault filter draws a number against the percentage, and none means 0.
Source: istio/istio ``pilot/pkg/networking/core/route/route.go``, TranslateFault.
"""

from __future__ import annotations

from collections.abc import Iterator

from mesh.istio.analyze.context import Context
from mesh.istio.models.virtual_service import Abort, Delay
from mesh.istio.problem import Level, Problem


def fault_percentage(context: Context) -> Iterator[Problem]:
    """Check delay and abort of every rule."""
    for resource, rule, path in context.http_routes():
        if rule.fault is None:
            continue
        for name, fault in (("delay", rule.fault.delay), ("abort", rule.fault.abort)):
            if fault is None or _share(fault):
                continue
            zero = fault.percentage is not None or fault.percent is not None
            yield resource.problem(
                "KIT0104",
                Level.WARNING,
                f"this {name} has {'the percentage 0' if zero else 'no percentage'} "
                "and never happens",
                f"{path}.fault.{name}",
                expected="percentage.value between 0 and 100",
                hint="Add `percentage: {value: 100}` for every request, 50 for every second one.",
            )


def _share(fault: Delay | Abort) -> float:
    if fault.percentage is not None:
        return fault.percentage.value or 0
    return float(fault.percent or 0)
