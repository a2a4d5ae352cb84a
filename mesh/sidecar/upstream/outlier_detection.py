"""Outlier detection: endpoints that misbehave get no traffic for a while.

In a DestinationRule: ``outlierDetection`` with ``consecutive5xxErrors``,
``consecutiveGatewayErrors``, ``interval``, ``baseEjectionTime``, ``maxEjectionPercent``.  Each
client's sidecar judges by its own requests.  An ejection comes with the error that completes the
row; the end is checked only every ``interval``, after base time x number of ejections.
``maxEjectionPercent`` (10) caps what is ejected: (ejected + 1) / hosts must not exceed it, so 10
ejects nobody of two.
See it with ``meshctl proxy-config endpoints POD`` and ``meshctl explain REQUEST``.

Source: Envoy, ``source/common/upstream/outlier_detection_impl.cc``, "Outlier detection".
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import Enum

from mesh.sidecar.upstream.host import Host
from mesh.sidecar.upstream.outlier_config import OutlierConfig
from mesh.sidecar.upstream.outlier_rates import Judged, Rate, failure_outliers, success_outliers


class Ejection(Enum):
    """Why a host was ejected; the names are those of Envoy's event log."""

    CONSECUTIVE_5XX = "CONSECUTIVE_5XX"
    CONSECUTIVE_GATEWAY_FAILURE = "CONSECUTIVE_GATEWAY_FAILURE"
    CONSECUTIVE_LOCAL_ORIGIN_FAILURE = "CONSECUTIVE_LOCAL_ORIGIN_FAILURE"
    SUCCESS_RATE = "SUCCESS_RATE"
    SUCCESS_RATE_LOCAL_ORIGIN = "SUCCESS_RATE_LOCAL_ORIGIN"
    FAILURE_PERCENTAGE = "FAILURE_PERCENTAGE"
    FAILURE_PERCENTAGE_LOCAL_ORIGIN = "FAILURE_PERCENTAGE_LOCAL_ORIGIN"


class Local(Enum):
    """What the sidecar itself saw of a connection, without an answer from the other end."""

    CONNECTED = "connected"
    FAILED = "failed"
    """Connect failure or reset before an answer (not an overflow: that is nobody's fault)."""
    TIMEOUT = "timeout"


_STATISTIC = {
    Ejection.SUCCESS_RATE_LOCAL_ORIGIN: "local_origin_success_rate",
    Ejection.FAILURE_PERCENTAGE_LOCAL_ORIGIN: "local_origin_failure_percentage",
}


@dataclass(frozen=True, slots=True)
class Event:
    """One line of the event log; ``fields`` are Envoy's JSON fields without the timestamp."""

    host: Host
    action: str
    enforced: bool
    fields: dict[str, object]


@dataclass(slots=True)
class _Monitor:
    """What the detector knows of one host."""

    host: Host
    consecutive_5xx: int = 0
    consecutive_gateway: int = 0
    consecutive_local: int = 0
    external: Rate = field(default_factory=Rate)
    local: Rate = field(default_factory=Rate)
    ejections: int = 0
    backoff: int = 0
    jitter: float = 0.0
    ejected_at: float | None = None
    unejected_at: float | None = None

    def reset(self) -> None:
        self.consecutive_5xx = self.consecutive_gateway = self.consecutive_local = 0


class OutlierDetector:
    """The detector of one cluster.  It sets ``Host.ejected``.

    ``interval`` seconds after its start, and then after each ``tick``, the owner calls ``tick``.
    ``counters`` has Envoy's ``outlier_detection.*`` statistics (``ejections_active`` is a gauge).
    """

    def __init__(
        self,
        config: OutlierConfig,
        cluster: str,
        rng: random.Random,
        clock: Callable[[], float],
        on_event: Callable[[Event], None] = lambda event: None,
    ) -> None:
        self.config = config
        self.counters: Counter[str] = Counter()
        self._cluster = cluster
        self._rng = rng
        self._clock = clock
        self._on_event = on_event
        self._monitors: dict[Host, _Monitor] = {}

    def update(self, hosts: Iterable[Host]) -> None:
        """Take a new set of hosts; what is known of those that stay is kept."""
        kept = {}
        for host in hosts:
            kept[host] = self._monitors.get(host) or _Monitor(host)
        for host in self._monitors:
            if host not in kept and host.ejected:
                self.counters["ejections_active"] -= 1
        self._monitors = kept

    def on_response(self, host: Host, status: int) -> None:
        """Take note of an answer's status (gRPC: of the HTTP status that its code stands for)."""
        monitor = self._monitors.get(host)
        if monitor is None:
            return
        monitor.external.total += 1
        if not 500 <= status < 600:
            monitor.external.successes += 1
            monitor.consecutive_5xx = monitor.consecutive_gateway = 0
            return
        if status in (502, 503, 504):
            monitor.consecutive_gateway += 1
            if monitor.consecutive_gateway == self.config.consecutive_gateway_failure:
                self._consecutive(monitor, Ejection.CONSECUTIVE_GATEWAY_FAILURE)
        else:
            monitor.consecutive_gateway = 0
        monitor.consecutive_5xx += 1
        if monitor.consecutive_5xx == self.config.consecutive_5xx:
            self._consecutive(monitor, Ejection.CONSECUTIVE_5XX)

    def on_local(self, host: Host, result: Local) -> None:
        """Take note of a connection's fate.

        Without ``split_external_local_origin_errors`` a failure counts as 503, a timeout as 504
        and a connection as nothing; with it they have a counter of their own.
        """
        monitor = self._monitors.get(host)
        if monitor is None:
            return
        if not self.config.split_local_origin:
            if result is not Local.CONNECTED:
                self.on_response(host, 503 if result is Local.FAILED else 504)
            return
        monitor.local.total += 1
        if result is Local.CONNECTED:
            monitor.local.successes += 1
            monitor.consecutive_local = 0
            return
        monitor.consecutive_local += 1
        if monitor.consecutive_local == self.config.consecutive_local_origin_failure:
            self._consecutive(monitor, Ejection.CONSECUTIVE_LOCAL_ORIGIN_FAILURE)

    def on_health_check(self, host: Host) -> None:
        """A successful active health check ends an ejection, unless that is switched off."""
        monitor = self._monitors.get(host)
        if monitor and host.ejected and self.config.health_check_unejects:
            self._uneject(monitor)

    def tick(self) -> None:
        """End ejections whose time is over, judge rates, let ejection times shrink."""
        now = self._clock()
        for monitor in self._monitors.values():
            if monitor.host.ejected and now - (monitor.ejected_at or 0.0) >= self._term(monitor):
                self._uneject(monitor)
            monitor.external.turn()
            monitor.local.turn()
        self._judge_rates(
            lambda monitor: monitor.external, Ejection.SUCCESS_RATE, Ejection.FAILURE_PERCENTAGE
        )
        self._judge_rates(
            lambda monitor: monitor.local,
            Ejection.SUCCESS_RATE_LOCAL_ORIGIN,
            Ejection.FAILURE_PERCENTAGE_LOCAL_ORIGIN,
        )
        for monitor in self._monitors.values():
            since = monitor.unejected_at
            if (
                not monitor.host.ejected
                and since is not None
                and now - since >= self.config.interval
                and monitor.backoff > 0
            ):
                monitor.backoff -= 1

    def _term(self, monitor: _Monitor) -> float:
        """Seconds that the host's ejection lasts at least."""
        config = self.config
        term = min(config.base_ejection_time * monitor.backoff, config.max_ejection_time)
        return term + monitor.jitter

    def _judge_rates(
        self, rate_of: Callable[[_Monitor], Rate], success: Ejection, failure: Ejection
    ) -> None:
        config = self.config
        if len(self._monitors) < min(
            config.success_rate_minimum_hosts, config.failure_percentage_minimum_hosts
        ):
            return
        judged = [
            Judged(monitor.host, rate.percent, rate.volume)
            for monitor in self._monitors.values()
            if not monitor.host.ejected and (rate := rate_of(monitor)).volume
        ]
        average, threshold, outliers = success_outliers(config, judged)
        for item in outliers:
            details = {
                "cluster_average_success_rate": int(average),
                "cluster_success_rate_ejection_threshold": int(threshold),
                "host_success_rate": int(item.percent),
            }
            self._detect(self._monitors[item.host], success, details)
        for item in failure_outliers(config, judged):
            details = {"host_success_rate": int(item.percent)}
            self._detect(self._monitors[item.host], failure, details)

    def _consecutive(self, monitor: _Monitor, kind: Ejection) -> None:
        if monitor.host.ejected:
            return
        self._detect(monitor, kind, {})
        if kind is Ejection.CONSECUTIVE_5XX:
            monitor.consecutive_5xx = 0
        elif kind is Ejection.CONSECUTIVE_GATEWAY_FAILURE:
            monitor.consecutive_gateway = 0
        else:
            monitor.consecutive_local = 0

    def _detect(self, monitor: _Monitor, kind: Ejection, details: dict[str, int]) -> None:
        """Eject a host that misbehaved, as far as the cap and the enforcement allow."""
        statistic = _STATISTIC.get(kind, kind.value.lower())
        self.counters[f"ejections_detected_{statistic}"] += 1
        active = self.counters["ejections_active"]
        share = 100.0 * (active + 1) / len(self._monitors)
        allowed = share <= self.config.max_ejection_percent
        if not allowed and not (self.config.always_eject_one_host and active == 0):
            self.counters["ejections_overflow"] += 1
            return
        enforced = self._enforce(self.config.enforcing[kind.value])
        before = monitor.unejected_at
        if enforced and not monitor.host.ejected:
            self.counters["ejections_active"] += 1
            self.counters["ejections_enforced_total"] += 1
            self.counters[f"ejections_enforced_{statistic}"] += 1
            self._eject(monitor)
            monitor.host.ejected_for = kind.value
        self._report(monitor, "EJECT", enforced, before, kind, details)

    def _enforce(self, percent: int) -> bool:
        if percent <= 0:
            return False
        return percent >= 100 or self._rng.randrange(100) < percent

    def _eject(self, monitor: _Monitor) -> None:
        config = self.config
        monitor.host.ejected = True
        monitor.ejections += 1
        monitor.ejected_at = self._clock()
        jitter = round(config.max_ejection_time_jitter * 1000)
        monitor.jitter = self._rng.randrange(jitter + 1) / 1000 if jitter else 0.0
        limit = config.max_ejection_time + config.base_ejection_time
        if monitor.backoff * config.base_ejection_time < limit:
            monitor.backoff += 1

    def _uneject(self, monitor: _Monitor) -> None:
        self.counters["ejections_active"] -= 1
        monitor.host.ejected = False
        monitor.reset()
        monitor.unejected_at = self._clock()
        self._report(monitor, "UNEJECT", False, monitor.ejected_at, None, {})

    def _report(
        self,
        monitor: _Monitor,
        action: str,
        enforced: bool,
        before: float | None,
        kind: Ejection | None,
        details: dict[str, int],
    ) -> None:
        fields: dict[str, object] = {
            "type": (kind or Ejection.CONSECUTIVE_5XX).value,
            "cluster_name": self._cluster,
            "upstream_url": monitor.host.key,
            "action": action,
            "num_ejections": monitor.ejections,
            "enforced": enforced,
        }
        if before is not None:
            fields["secs_since_last_action"] = str(int(self._clock() - before))
        if kind is not None:
            fields[_details_name(kind)] = dict(details)
        self._on_event(Event(monitor.host, action, enforced, fields))


def _details_name(kind: Ejection) -> str:
    if kind in (Ejection.SUCCESS_RATE, Ejection.SUCCESS_RATE_LOCAL_ORIGIN):
        return "eject_success_rate_event"
    if kind in (Ejection.FAILURE_PERCENTAGE, Ejection.FAILURE_PERCENTAGE_LOCAL_ORIGIN):
        return "eject_failure_percentage_event"
    return "eject_consecutive_event"
