"""KIT0105, KIT0106: an outlier detection that ejects nobody.

Envoy ejects a pod while (ejected + 1) / pods <= maxEjectionPercent, and Istio's default is 10 %:
of two pods none is ever ejected (``outlier_detection_impl.cc``, ejectHost).  From Istio 1.7 on
``consecutiveErrors`` is read and ignored.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from mesh.istio.analyze.context import Context
from mesh.istio.problem import Level, Problem

DEFAULT_PERCENT = 10


def ejection_percent(context: Context) -> Iterator[Problem]:
    """Compare maxEjectionPercent with the number of pods behind the host or subset."""
    for each in context.policies:
        outlier = each.policy.outlier_detection
        if outlier is None:
            continue
        stated = outlier.max_ejection_percent
        percent = DEFAULT_PERCENT if stated is None else stated
        path = f"{each.path}.outlierDetection"
        if stated is not None:
            path += ".maxEjectionPercent"
        pods = context.pods_of(each.host, each.subset.labels if each.subset else None)
        read = f"maxEjectionPercent {percent}" + ("" if stated is not None else " (the default)")
        if pods is None:
            if stated is None:
                yield each.resource.problem(
                    "KIT0105",
                    Level.INFO,
                    f"{read} ejects nobody unless at least 10 pods stand behind {each.host}",
                    path,
                    hint="State it: 50 for two pods, 100 to be able to take out all of them.",
                )
            continue
        if pods and 100 / pods > percent:
            needed = math.ceil(100 / pods)
            yield each.resource.problem(
                "KIT0105",
                Level.WARNING,
                f"{read} ejects nobody: {pods} {'pods stand' if pods > 1 else 'pod stands'} behind "
                f"{each.host}{f' subset {each.subset.name}' if each.subset else ''}, "
                f"so one is already {100 / pods:.0f} %",
                path,
                expected=f"{needed} or more",
                hint=f"Write `maxEjectionPercent: {needed}` at least; 100 lets all be ejected, "
                "and then the answer is 503 `no healthy upstream`.",
            )


def consecutive_errors(context: Context) -> Iterator[Problem]:
    """Say where consecutiveErrors does nothing in this era."""
    if context.era.consecutive_errors_honoured:
        return
    for each in context.policies:
        outlier = each.policy.outlier_detection
        if outlier is None or outlier.consecutive_errors is None:
            continue
        if outlier.consecutive_5xx_errors is not None:
            continue
        if outlier.consecutive_gateway_errors is not None:
            continue
        yield each.resource.problem(
            "KIT0106",
            Level.WARNING,
            f"{context.era} ignores consecutiveErrors {outlier.consecutive_errors}: a pod is "
            "ejected after 5 errors in a row (the default of consecutive5xxErrors)",
            f"{each.path}.outlierDetection.consecutiveErrors",
            expected="consecutive5xxErrors or consecutiveGatewayErrors",
            hint=f"Write `consecutive5xxErrors: {outlier.consecutive_errors}`; the old field "
            "counted 502, 503 and 504 only, which is consecutiveGatewayErrors.",
            fix="meshctl fix writes consecutiveGatewayErrors",
        )
