"""Active health checks: the sidecar asks each endpoint itself whether it is well.

Istio does not set them (Kubernetes' readiness does that work there); Envoy has them, and so do
gateways and other meshes.  Every host is asked each ``interval``; it is taken out after
``unhealthy_threshold`` failures in a row and back after ``healthy_threshold`` successes.  An
HTTP status that is not expected takes it out at once.  Before its first check it gets no
traffic, and the first success is enough.
See it with ``meshctl proxy-config endpoints POD`` (``failed_active_hc``).

Source: Envoy, ``source/extensions/health_checkers/common/health_checker_base_impl.cc``,
"Health checking".
"""

from __future__ import annotations

import enum
import random
from dataclasses import dataclass

from envoy_data_plane.envoy.config.core.v3 import HealthCheck

from mesh.sidecar.upstream.host import Host


class Check(enum.Enum):
    """Outcome of one check: NETWORK is a failed connection, a timeout or a retriable status."""

    SUCCESS = "success"
    NETWORK = "network"
    STATUS = "status"


@dataclass(frozen=True, slots=True)
class HealthCheckConfig:
    """A compiled HealthCheck; times in seconds, statuses as ranges [start, end)."""

    path: str = ""
    host: str = ""
    interval: float = 5.0
    timeout: float = 1.0
    unhealthy_threshold: int = 1
    healthy_threshold: int = 1
    no_traffic_interval: float = 60.0
    unhealthy_interval: float = 5.0
    unhealthy_edge_interval: float = 5.0
    healthy_edge_interval: float = 5.0
    interval_jitter: float = 0.0
    jitter_percent: int = 0
    expected: tuple[tuple[int, int], ...] = ((200, 201),)
    retriable: tuple[tuple[int, int], ...] = ()

    def outcome(self, status: int) -> Check:
        """Outcome of a check that was answered with ``status``."""
        if any(start <= status < end for start, end in self.expected):
            return Check.SUCCESS
        if any(start <= status < end for start, end in self.retriable):
            return Check.NETWORK
        return Check.STATUS


def compile_health_check(config: HealthCheck) -> HealthCheckConfig:
    """Compile an HTTP or TCP check (a TCP check has no path); ValueError for other kinds."""
    if config.http_health_check is None and config.tcp_health_check is None:
        raise ValueError("only HTTP and TCP health checks are executed here")
    interval = config.interval.total_seconds() if config.interval else 5.0
    unhealthy = config.unhealthy_interval
    unhealthy_interval = unhealthy.total_seconds() if unhealthy else interval
    edge, healthy_edge = config.unhealthy_edge_interval, config.healthy_edge_interval
    quiet = config.no_traffic_interval
    http = config.http_health_check
    return HealthCheckConfig(
        path=http.path if http else "",
        host=http.host if http else "",
        interval=interval,
        timeout=config.timeout.total_seconds() if config.timeout else 1.0,
        unhealthy_threshold=config.unhealthy_threshold or 1,
        healthy_threshold=config.healthy_threshold or 1,
        no_traffic_interval=quiet.total_seconds() if quiet else 60.0,
        unhealthy_interval=unhealthy_interval,
        unhealthy_edge_interval=edge.total_seconds() if edge else unhealthy_interval,
        healthy_edge_interval=healthy_edge.total_seconds() if healthy_edge else interval,
        interval_jitter=config.interval_jitter.total_seconds() if config.interval_jitter else 0.0,
        jitter_percent=config.interval_jitter_percent,
        expected=(
            tuple((item.start, item.end) for item in http.expected_statuses)
            if http and http.expected_statuses
            else ((200, 201),)
        ),
        retriable=(
            tuple((item.start, item.end) for item in http.retriable_statuses) if http else ()
        ),
    )


class HealthState:
    """State of one host's checks; it sets ``host.check_failed``."""

    __slots__ = ("_changed", "_config", "_first", "_healthy", "_unhealthy", "host")

    def __init__(self, config: HealthCheckConfig, host: Host) -> None:
        self._config = config
        self.host = host
        self._healthy = 0
        self._unhealthy = 0
        self._first = True
        self._changed = False
        host.check_failed = True

    def on_check(self, check: Check) -> bool:
        """Take the outcome of a check; True when the host went in or out."""
        config, host = self._config, self.host
        self._changed = False
        if check is Check.SUCCESS:
            self._unhealthy = 0
            if host.check_failed:
                self._healthy += 1
                if self._first or self._healthy == config.healthy_threshold:
                    host.check_failed = False
                    self._changed = True
        else:
            self._healthy = 0
            if not host.check_failed:
                self._unhealthy += 1
                if check is Check.STATUS or self._unhealthy == config.unhealthy_threshold:
                    host.check_failed = True
                    self._changed = True
        self._first = False
        return self._changed

    def next_interval(self, rng: random.Random, had_traffic: bool = True) -> float:
        """Seconds until the next check of this host."""
        config = self._config
        if not had_traffic:
            base = config.no_traffic_interval
        elif self.host.check_failed:
            base = config.unhealthy_edge_interval if self._changed else config.unhealthy_interval
        else:
            base = config.healthy_edge_interval if self._changed else config.interval
        if config.jitter_percent:
            base += rng.random() * base * config.jitter_percent / 100
        if config.interval_jitter:
            base += rng.random() * config.interval_jitter
        return base
