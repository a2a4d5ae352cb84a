"""The settings of outlier detection, with the defaults of Envoy.

Istio sets ``enforcingSuccessRate`` to 0 and, with ``outlierDetection``, the panic threshold to
``minHealthPercent`` (0).  A threshold of 0 switches a detection off: the row never reaches 0.
``enforcing`` percentages decide, once a host is found, whether it is really ejected or only
counted and logged.
See them with ``meshctl proxy-config clusters POD -o json``.

Source: Envoy, ``api/envoy/config/cluster/v3/outlier_detection.proto``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta

from envoy_data_plane.envoy.config.cluster.v3 import OutlierDetection

_ENFORCING = {
    "CONSECUTIVE_5XX": ("enforcing_consecutive_5xx", 100),
    "CONSECUTIVE_GATEWAY_FAILURE": ("enforcing_consecutive_gateway_failure", 0),
    "CONSECUTIVE_LOCAL_ORIGIN_FAILURE": ("enforcing_consecutive_local_origin_failure", 100),
    "SUCCESS_RATE": ("enforcing_success_rate", 100),
    "SUCCESS_RATE_LOCAL_ORIGIN": ("enforcing_local_origin_success_rate", 100),
    "FAILURE_PERCENTAGE": ("enforcing_failure_percentage", 0),
    "FAILURE_PERCENTAGE_LOCAL_ORIGIN": ("enforcing_failure_percentage_local_origin", 0),
}


@dataclass(frozen=True, slots=True)
class OutlierConfig:
    """A compiled OutlierDetection.  Times in seconds, shares in percent.

    ``success_rate_stdev_factor`` is a thousandth; ``enforcing`` maps each kind of ejection to
    its percentage.
    """

    consecutive_5xx: int = 5
    consecutive_gateway_failure: int = 5
    consecutive_local_origin_failure: int = 5
    interval: float = 10.0
    base_ejection_time: float = 30.0
    max_ejection_time: float = 300.0
    max_ejection_time_jitter: float = 0.0
    max_ejection_percent: int = 10
    always_eject_one_host: bool = False
    split_local_origin: bool = False
    health_check_unejects: bool = True
    success_rate_minimum_hosts: int = 5
    success_rate_request_volume: int = 100
    success_rate_stdev_factor: int = 1900
    failure_percentage_threshold: int = 85
    failure_percentage_minimum_hosts: int = 5
    failure_percentage_request_volume: int = 50
    enforcing: dict[str, int] = field(
        default_factory=lambda: {kind: default for kind, (_, default) in _ENFORCING.items()}
    )


def compile_outlier_detection(config: OutlierDetection) -> OutlierConfig:
    """Compile ``config``; ValueError when the maximal ejection time is below the base time."""
    base = _seconds(config.base_ejection_time, 30.0)
    most = _seconds(config.max_ejection_time, max(300.0, base))
    if most < base:
        raise ValueError(
            "outlier detector's max_ejection_time cannot be smaller than base_ejection_time"
        )
    return OutlierConfig(
        consecutive_5xx=_or(config.consecutive_5xx, 5),
        consecutive_gateway_failure=_or(config.consecutive_gateway_failure, 5),
        consecutive_local_origin_failure=_or(config.consecutive_local_origin_failure, 5),
        interval=_seconds(config.interval, 10.0),
        base_ejection_time=base,
        max_ejection_time=most,
        max_ejection_time_jitter=_seconds(config.max_ejection_time_jitter, 0.0),
        max_ejection_percent=min(100, _or(config.max_ejection_percent, 10)),
        always_eject_one_host=bool(config.always_eject_one_host),
        split_local_origin=config.split_external_local_origin_errors,
        health_check_unejects=config.successful_active_health_check_uneject_host is not False,
        success_rate_minimum_hosts=_or(config.success_rate_minimum_hosts, 5),
        success_rate_request_volume=_or(config.success_rate_request_volume, 100),
        success_rate_stdev_factor=_or(config.success_rate_stdev_factor, 1900),
        failure_percentage_threshold=_or(config.failure_percentage_threshold, 85),
        failure_percentage_minimum_hosts=_or(config.failure_percentage_minimum_hosts, 5),
        failure_percentage_request_volume=_or(config.failure_percentage_request_volume, 50),
        enforcing={
            kind: _or(getattr(config, name), default)
            for kind, (name, default) in _ENFORCING.items()
        },
    )


def _or(value: int | None, default: int) -> int:
    return default if value is None else value


def _seconds(duration: timedelta | None, default: float) -> float:
    return default if duration is None else duration.total_seconds()
