"""Active health checks: the sidecar asks each endpoint itself whether it is well.

A DestinationRule has no field for them (Kubernetes' readiness does that work); an EnvoyFilter that
merges ``health_checks`` into a cluster has.  Every host is asked each ``interval``; it is taken
out after ``unhealthy_threshold`` failures in a row and back after ``healthy_threshold`` successes.
An HTTP status that is not expected takes it out at once.  Before its first check it gets no
traffic, and the first success is enough.  While nobody sends anything to the cluster, the next
check comes only after ``no_traffic_interval`` (60 s).
This module has the decisions; ``health_checker`` asks.
See it with ``curl ADMIN/clusters?format=json`` (``failed_active_health_check``) and, for a request,
``meshctl explain REQUEST_ID`` ("its health checks fail").

Source: Envoy, ``source/extensions/health_checkers/common/health_checker_base_impl.cc``,
"Health checking".
"""

from __future__ import annotations

import enum
import random
from dataclasses import dataclass, replace

from envoy_data_plane.envoy.config.core.v3 import (
    HealthCheck,
    HealthCheckHttpHealthCheck,
    HealthCheckPayload,
    HealthCheckTcpHealthCheck,
    RequestMethod,
)
from envoy_data_plane.envoy.type.v3 import CodecClientType

from mesh.sidecar.upstream.host import Host
from mesh.sidecar.xds import seconds

OK = ((200, 201),)


class Check(enum.Enum):
    """Outcome of one check: NETWORK is a failed connection, a timeout or a retriable status."""

    SUCCESS = "success"
    NETWORK = "network"
    STATUS = "status"


@dataclass(frozen=True, slots=True)
class HealthCheckConfig:
    """A compiled HealthCheck; times in seconds, statuses as ranges [start, end).

    Without a ``path`` it is a TCP check: ``send`` is written, ``receive`` has to come, in order.
    """

    path: str = ""
    host: str = ""
    method: bytes = b"GET"
    headers: tuple[tuple[bytes, bytes], ...] = ()
    http2: bool = False
    send: bytes = b""
    receive: tuple[bytes, ...] = ()
    reuse_connection: bool = True
    initial_jitter: float = 0.0
    interval: float = 5.0
    timeout: float = 1.0
    unhealthy_threshold: int = 1
    healthy_threshold: int = 1
    no_traffic_interval: float = 60.0
    no_traffic_healthy_interval: float = 60.0
    unhealthy_interval: float = 5.0
    unhealthy_edge_interval: float = 5.0
    healthy_edge_interval: float = 5.0
    interval_jitter: float = 0.0
    jitter_percent: int = 0
    expected: tuple[tuple[int, int], ...] = OK
    retriable: tuple[tuple[int, int], ...] = ()

    def outcome(self, status: int) -> Check:
        """Outcome of a check that was answered with ``status``."""
        if any(start <= status < end for start, end in self.expected):
            return Check.SUCCESS
        if any(start <= status < end for start, end in self.retriable):
            return Check.NETWORK
        return Check.STATUS


def compile_health_check(config: HealthCheck) -> HealthCheckConfig:
    """Compile an HTTP or TCP check; ValueError for what is missing or cannot be executed here."""
    http, tcp = config.http_health_check, config.tcp_health_check
    if http is None and tcp is None:
        raise ValueError("only HTTP and TCP health checks are executed here")
    for name in ("timeout", "interval", "unhealthy_threshold", "healthy_threshold"):
        if not getattr(config, name):
            raise ValueError(f"health check: {name} is needed, and not 0")
    assert config.interval is not None and config.timeout is not None
    interval = config.interval.total_seconds()
    unhealthy = seconds(config.unhealthy_interval, interval)
    quiet = seconds(config.no_traffic_interval, 60.0)
    made = HealthCheckConfig(
        interval=interval,
        timeout=config.timeout.total_seconds(),
        unhealthy_threshold=config.unhealthy_threshold or 1,
        healthy_threshold=config.healthy_threshold or 1,
        no_traffic_interval=quiet,
        no_traffic_healthy_interval=seconds(config.no_traffic_healthy_interval, quiet),
        unhealthy_interval=unhealthy,
        unhealthy_edge_interval=seconds(config.unhealthy_edge_interval, unhealthy),
        healthy_edge_interval=seconds(config.healthy_edge_interval, interval),
        initial_jitter=seconds(config.initial_jitter, 0.0),
        interval_jitter=seconds(config.interval_jitter, 0.0),
        jitter_percent=config.interval_jitter_percent,
        reuse_connection=config.reuse_connection is not False,
    )
    return _http(made, http) if http is not None else _tcp(made, tcp)


def _http(made: HealthCheckConfig, http: HealthCheckHttpHealthCheck) -> HealthCheckConfig:
    for name in ("send", "receive", "service_name_matcher"):
        if getattr(http, name):
            raise ValueError(f"health check: {name} of an HTTP check is not executed here")
    if not http.path:
        raise ValueError("health check: an HTTP check needs a path")
    return replace(
        made,
        path=http.path,
        host=http.host,
        method=(RequestMethod(http.method).name or "GET").encode() if http.method else b"GET",
        headers=tuple(
            (each.header.key.lower().encode(), each.header.value.encode())
            for each in http.request_headers_to_add
            if each.header is not None
        ),
        http2=http.codec_client_type is CodecClientType.HTTP2,
        expected=tuple((each.start, each.end) for each in http.expected_statuses) or OK,
        retriable=tuple((each.start, each.end) for each in http.retriable_statuses),
    )


def _tcp(made: HealthCheckConfig, tcp: HealthCheckTcpHealthCheck | None) -> HealthCheckConfig:
    assert tcp is not None
    return replace(
        made,
        send=_payload(tcp.send) if tcp.send is not None else b"",
        receive=tuple(_payload(each) for each in tcp.receive),
    )


def _payload(payload: HealthCheckPayload) -> bytes:
    return bytes.fromhex(payload.text) if payload.text else payload.binary or b""


class HealthState:
    """State of one host's checks; it sets ``host.check_failed``."""

    __slots__ = ("_config", "_first", "_healthy", "_pending", "_unhealthy", "host")

    def __init__(self, config: HealthCheckConfig, host: Host) -> None:
        self._config = config
        self.host = host
        self._healthy = 0
        self._unhealthy = 0
        self._first = True
        self._pending = False
        host.check_failed = True

    def on_check(self, check: Check) -> bool:
        """Take the outcome of a check; True when the host went in or out."""
        config, host = self._config, self.host
        changed = self._pending = False
        if check is Check.SUCCESS:
            self._unhealthy = 0
            if host.check_failed:
                self._healthy += 1
                changed = self._first or self._healthy == config.healthy_threshold
                self._pending = not changed
        else:
            self._healthy = 0
            if not host.check_failed:
                self._unhealthy += 1
                changed = check is Check.STATUS or self._unhealthy == config.unhealthy_threshold
                self._pending = not changed
        if changed:
            host.check_failed = check is not Check.SUCCESS
        self._first = False
        return changed

    def next_interval(
        self, rng: random.Random, success: bool = True, had_traffic: bool = True
    ) -> float:
        """Seconds until the next check of this host; ``success``: what the last one found."""
        config = self._config
        if not had_traffic:
            quiet = success and not self._pending
            base = config.no_traffic_healthy_interval if quiet else config.no_traffic_interval
        elif success:
            base = config.healthy_edge_interval if self._pending else config.interval
        else:
            base = config.unhealthy_edge_interval if self._pending else config.unhealthy_interval
        if config.jitter_percent:
            base += rng.random() * base * config.jitter_percent / 100
        if config.interval_jitter:
            base += rng.random() * config.interval_jitter
        return base
