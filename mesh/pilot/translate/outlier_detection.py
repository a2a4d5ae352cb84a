"""Outlier detection: take a pod that answers errors out of the pool for a while.

Istio's field is ``trafficPolicy.outlierDetection``.  After N errors in a row
(``consecutive5xxErrors``, default 5; ``consecutiveGatewayErrors``: 502, 503, 504) the sidecar
ejects the pod for ``baseEjectionTime``, but never more than ``maxEjectionPercent`` (default 10) of
the pool: with two pods and the default nobody is ejected.  ``minHealthPercent`` (default 0) is
the panic threshold: with 0, all pods ejected means 503 UH.
Until 1.6 ``consecutiveErrors`` counted gateway errors and turned the 5xx detection off; it is
ignored since.  Not Istio's: ejections are in force at once (``update_merge_window`` 0).
Source: istio/istio ``cluster_traffic_policy.go`` (applyOutlierDetection).
Shown by ``meshctl proxy-config endpoint POD`` (OUTLIER CHECK).
"""

from __future__ import annotations

from datetime import timedelta
from functools import lru_cache

from envoy_data_plane.envoy.config.cluster.v3 import Cluster, ClusterCommonLbConfig
from envoy_data_plane.envoy.config.cluster.v3 import OutlierDetection as EnvoyOutlierDetection
from envoy_data_plane.envoy.type.v3 import Percent

from mesh.istio.eras import Era
from mesh.istio.models.destination_rule import OutlierDetection
from mesh.pilot.encode import sealed


def apply(cluster: Cluster, settings: OutlierDetection | None, era: Era) -> None:
    """Write the detection and the panic threshold into a cluster; nothing without settings."""
    if settings is None:
        return
    cluster.outlier_detection = _detection(settings, era.consecutive_errors_honoured)
    cluster.common_lb_config = ClusterCommonLbConfig(
        healthy_panic_threshold=Percent(value=float(settings.min_health_percent or 0)),
        # By default Envoy gathers changes of health for 1 s: a second ejection would take that long.
        update_merge_window=timedelta(0),
    )


@lru_cache(maxsize=1024)
def _detection(settings: OutlierDetection, gateway: bool) -> EnvoyOutlierDetection:
    """Return the detection; clusters with equal settings share it, nobody may change it.

    ``gateway``: whether ``consecutiveErrors`` counts, as errors of the gateway.
    """
    out = EnvoyOutlierDetection(enforcing_success_rate=0)
    if gateway and settings.consecutive_errors:
        out.consecutive_gateway_failure = settings.consecutive_errors
        out.enforcing_consecutive_gateway_failure = 100
        out.enforcing_consecutive_5xx = 0
    if settings.consecutive_5xx_errors is not None:
        out.consecutive_5xx = settings.consecutive_5xx_errors
        out.enforcing_consecutive_5xx = 100 if settings.consecutive_5xx_errors else 0
    if settings.consecutive_gateway_errors is not None:
        out.consecutive_gateway_failure = settings.consecutive_gateway_errors
        out.enforcing_consecutive_gateway_failure = (
            100 if settings.consecutive_gateway_errors else 0
        )
    if settings.split_external_local_origin_errors:
        out.split_external_local_origin_errors = True
        if settings.consecutive_local_origin_failures:
            out.consecutive_local_origin_failure = settings.consecutive_local_origin_failures
            out.enforcing_consecutive_local_origin_failure = 100
        out.enforcing_local_origin_success_rate = 0
    if settings.interval is not None:
        out.interval = settings.interval
    if settings.base_ejection_time is not None:
        out.base_ejection_time = settings.base_ejection_time
    if settings.max_ejection_percent:
        out.max_ejection_percent = settings.max_ejection_percent
    return sealed(out)
