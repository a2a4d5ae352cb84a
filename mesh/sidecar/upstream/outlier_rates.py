"""Rates of success: outlier detection over an interval instead of in a row.

Success rate compares a host with the others: ejected is who lies below
mean - factor x standard deviation.  Failure percentage compares it with a fixed threshold; it
stands for Linkerd's ``successRateWindowed``.  Both need enough requests in the interval that
ended and enough hosts; Istio leaves both switched off.
See it with ``meshctl proxy-config clusters POD -o json``.

Source: Envoy, ``source/common/upstream/outlier_detection_impl.cc``
(``successRateEjectionThreshold``, ``processSuccessRateEjections``).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from mesh.sidecar.upstream.host import Host
from mesh.sidecar.upstream.outlier_config import OutlierConfig


@dataclass(slots=True)
class Rate:
    """Requests of the running interval, and ``percent`` and ``volume`` of the one before."""

    total: int = 0
    successes: int = 0
    percent: float = -1.0
    volume: int = 0

    def turn(self) -> None:
        """End the interval."""
        self.volume = self.total
        self.percent = 100.0 * self.successes / self.total if self.total else -1.0
        self.total = self.successes = 0


@dataclass(frozen=True, slots=True)
class Judged:
    """A host with its rate of success (percent) and number of requests."""

    host: Host
    percent: float
    volume: int


def success_outliers(
    config: OutlierConfig, judged: Sequence[Judged]
) -> tuple[float, float, list[Judged]]:
    """Return mean, threshold (both -1 when nobody is judged) and the hosts below the threshold.

    Rates of 50, 100, 100, 100, 100 have mean 90 and deviation 20: threshold 52 at factor 1.9.
    """
    valid = [item for item in judged if item.volume >= config.success_rate_request_volume]
    if not valid or len(valid) < config.success_rate_minimum_hosts:
        return -1.0, -1.0, []
    mean = sum(item.percent for item in valid) / len(valid)
    variance = sum((item.percent - mean) ** 2 for item in valid) / len(valid)
    threshold = mean - config.success_rate_stdev_factor / 1000 * math.sqrt(variance)
    return mean, threshold, [item for item in valid if item.percent < threshold]


def failure_outliers(config: OutlierConfig, judged: Sequence[Judged]) -> list[Judged]:
    """Return the hosts whose failures reach the threshold."""
    valid = [item for item in judged if item.volume >= config.failure_percentage_request_volume]
    if not valid or len(valid) < config.failure_percentage_minimum_hosts:
        return []
    return [item for item in valid if 100.0 - item.percent >= config.failure_percentage_threshold]
