"""DestinationRule: what happens once a VirtualService has chosen the service.

It names the subsets (pods by label) and says how the client sidecar talks to them: load balancer,
connection pool (the circuit breaker), outlier detection, TLS.  A policy on a subset works only
for routes that name this subset.
Fields: istio/api ``networking/v1alpha3/destination_rule.proto``.
Shown by ``meshctl proxy-config cluster POD``.
"""

from __future__ import annotations

from typing import Literal

from mesh.istio.models.base import (
    Duration,
    Int32,
    LabelSelector,
    Model,
    PortSelector,
    StringMap,
    UInt32,
    UInt64,
)


class HTTPCookie(Model):
    """Hash a cookie; with ``ttl`` the sidecar makes it when it is missing."""

    class Attribute(Model):
        """A further attribute of the cookie."""

        name: str
        value: str | None = None

    name: str
    path: str | None = None
    ttl: Duration | None = None
    attributes: list[Attribute] | None = None


class RingHash(Model):
    """Ring hash; default 1024 points."""

    minimum_ring_size: UInt64 | None = None


class MagLev(Model):
    """Maglev; the size of the table must be a prime number."""

    table_size: UInt64 | None = None


class ConsistentHashLB(Model):
    """Send the same key to the same pod (session affinity); one key of the four."""

    http_header_name: str | None = None
    http_cookie: HTTPCookie | None = None
    use_source_ip: bool | None = None
    http_query_parameter_name: str | None = None
    ring_hash: RingHash | None = None
    maglev: MagLev | None = None
    minimum_ring_size: UInt64 | None = None


class LocalityDistribute(Model):
    """Share of the traffic from one place to each other one."""

    from_: str | None = None
    to: dict[str, UInt32] | None = None


class LocalityFailover(Model):
    """Where to go when a region fails."""

    from_: str | None = None
    to: str | None = None


class LocalityLoadBalancerSetting(Model):
    """Prefer pods that are near."""

    distribute: list[LocalityDistribute] | None = None
    failover: list[LocalityFailover] | None = None
    failover_priority: list[str] | None = None
    enabled: bool | None = None


class ZoneAwareLbSetting(Model):
    """Keep traffic inside the zone."""

    enabled: bool | None = None
    min_cluster_size: UInt32 | None = None
    failover: list[LocalityFailover] | None = None
    failover_priority: list[str] | None = None


class WarmupConfiguration(Model):
    """Give a new pod little traffic first."""

    duration: Duration
    minimum_percent: float | None = None
    aggression: float | None = None


class BackendUtilization(Model):
    """Weights from the load that the pods report."""

    error_utilization_penalty_percent: UInt32 | None = None
    metric_names_for_computing_utilization: list[str] | None = None
    weight_expiration_period: Duration | None = None
    weight_stabilization_period: Duration | None = None
    weight_update_period: Duration | None = None


class LoadBalancerSettings(Model):
    """``simple`` or ``consistentHash``."""

    simple: (
        Literal[
            "UNSPECIFIED", "LEAST_CONN", "RANDOM", "PASSTHROUGH", "ROUND_ROBIN", "LEAST_REQUEST"
        ]
        | None
    ) = None
    consistent_hash: ConsistentHashLB | None = None
    locality_lb_setting: LocalityLoadBalancerSetting | None = None
    zone_aware_lb_setting: ZoneAwareLbSetting | None = None
    warmup_duration_secs: Duration | None = None
    warmup: WarmupConfiguration | None = None
    backend_utilization: BackendUtilization | None = None


class TcpKeepalive(Model):
    """Probes of an idle connection."""

    probes: UInt32 | None = None
    time: Duration | None = None
    interval: Duration | None = None


class TCPSettings(Model):
    """Limits of connections; ``maxConnections`` is per sidecar and cluster."""

    max_connections: Int32 | None = None
    connect_timeout: Duration | None = None
    tcp_keepalive: TcpKeepalive | None = None
    max_connection_duration: Duration | None = None
    idle_timeout: Duration | None = None


class HTTP2KeepAlive(Model):
    """PINGs of an HTTP/2 connection."""

    interval: Duration | None = None
    timeout: Duration | None = None


class HTTPSettings(Model):
    """Limits of requests; what goes over is answered 503 with the flag UO."""

    http1_max_pending_requests: Int32 | None = None
    http2_max_requests: Int32 | None = None
    max_requests_per_connection: Int32 | None = None
    max_retries: Int32 | None = None
    idle_timeout: Duration | None = None
    h2_upgrade_policy: Literal["DEFAULT", "DO_NOT_UPGRADE", "UPGRADE"] | None = None
    use_client_protocol: bool | None = None
    max_concurrent_streams: Int32 | None = None
    http2_keep_alive: HTTP2KeepAlive | None = None


class ConnectionPoolSettings(Model):
    """The circuit breaker."""

    tcp: TCPSettings | None = None
    http: HTTPSettings | None = None


class OutlierDetection(Model):
    """Take a pod out of the pool after errors in a row."""

    consecutive_errors: Int32 | None = None
    consecutive_5xx_errors: UInt32 | None = None
    consecutive_gateway_errors: UInt32 | None = None
    consecutive_local_origin_failures: UInt32 | None = None
    split_external_local_origin_errors: bool | None = None
    interval: Duration | None = None
    base_ejection_time: Duration | None = None
    max_ejection_percent: Int32 | None = None
    min_health_percent: Int32 | None = None
    outlier_detection_http_error_codes: list[UInt32] | None = None


class ClientTLSSettings(Model):
    """How the client sidecar encrypts; ISTIO_MUTUAL is the mesh's own mTLS."""

    mode: Literal["DISABLE", "SIMPLE", "MUTUAL", "ISTIO_MUTUAL"] | None = None
    client_certificate: str | None = None
    private_key: str | None = None
    ca_certificates: str | None = None
    ca_crl: str | None = None
    credential_name: str | None = None
    subject_alt_names: list[str] | None = None
    sni: str | None = None
    insecure_skip_verify: bool | None = None


class PortTrafficPolicy(Model):
    """A policy for one port; it replaces the policy above, field by field."""

    port: PortSelector | None = None
    load_balancer: LoadBalancerSettings | None = None
    connection_pool: ConnectionPoolSettings | None = None
    outlier_detection: OutlierDetection | None = None
    tls: ClientTLSSettings | None = None


class TunnelSettings(Model):
    """Tunnel TCP through a proxy (CONNECT or POST)."""

    protocol: str | None = None
    target_host: str
    target_port: UInt32


class ProxyProtocol(Model):
    """Send HAProxy's PROXY header."""

    version: Literal["V1", "V2"] | None = None


class RetryBudget(Model):
    """Limit retries to a share of the requests that run."""

    percent: float | None = None
    min_retry_concurrency: UInt32 | None = None
    budget_interval: Duration | None = None


class TrafficPolicy(Model):
    """How to talk to the pods."""

    load_balancer: LoadBalancerSettings | None = None
    connection_pool: ConnectionPoolSettings | None = None
    outlier_detection: OutlierDetection | None = None
    tls: ClientTLSSettings | None = None
    port_level_settings: list[PortTrafficPolicy] | None = None
    tunnel: TunnelSettings | None = None
    proxy_protocol: ProxyProtocol | None = None
    retry_budget: RetryBudget | None = None


class Subset(Model):
    """Pods of the host that carry all these labels."""

    name: str
    labels: StringMap | None = None
    traffic_policy: TrafficPolicy | None = None


class DestinationRule(Model):
    """``spec`` of a DestinationRule."""

    host: str
    traffic_policy: TrafficPolicy | None = None
    subsets: list[Subset] | None = None
    export_to: list[str] | None = None
    workload_selector: LabelSelector | None = None
