"""The rules of DestinationRule: host, subsets and traffic policies.

Source: istio/istio ``pkg/config/validation/validation.go`` ValidateDestinationRule,
``agent/validation.go`` ValidateTLS.
"""

from __future__ import annotations

from math import isqrt

from mesh.istio.models.destination_rule import (
    ClientTLSSettings,
    ConnectionPoolSettings,
    DestinationRule,
    LoadBalancerSettings,
    OutlierDetection,
    PortTrafficPolicy,
    TrafficPolicy,
)
from mesh.istio.validate import names
from mesh.istio.validate.findings import Findings, Steps
from mesh.istio.validate.locality import check_locality

_SPLIT_OFF = (
    "outlier detection consecutive local origin failures is specified, but split external local "
    "origin errors is set to false"
)
_CONSECUTIVE = (
    "outlier detection consecutive errors is deprecated, use consecutiveGatewayErrors or "
    "consecutive5xxErrors instead"
)


def check_destination_rule(spec: DestinationRule, found: Findings) -> None:
    """Check a DestinationRule."""
    found.check(("spec", "host"), names.domain_error(spec.host))
    if spec.traffic_policy is not None:
        _check_policy(spec.traffic_policy, ("spec", "trafficPolicy"), found)
    seen: set[str] = set()
    for index, subset in enumerate(spec.subsets or []):
        path: Steps = ("spec", "subsets", index)
        if subset.name in seen:
            found.error((*path, "name"), f"duplicate subset names: {subset.name}")
        seen.add(subset.name)
        found.check((*path, "name"), names.subset_error(subset.name))
        found.labels((*path, "labels"), subset.labels)
        if subset.traffic_policy is not None:
            _check_policy(subset.traffic_policy, (*path, "trafficPolicy"), found)
    found.export_to(spec.export_to)
    if spec.workload_selector is not None:
        here: Steps = ("spec", "workloadSelector", "matchLabels")
        found.selector(here, spec.workload_selector.match_labels)


def _check_policy(policy: TrafficPolicy, path: Steps, found: Findings) -> None:
    if not policy.model_fields_set:
        text = "traffic policy must have at least one field"
        found.error(path, text, expected="loadBalancer, connectionPool, outlierDetection, tls")
        return
    if policy.tunnel is not None and policy.proxy_protocol is not None:
        found.error(path, "tunnel and proxyProtocol must not be set together")
    _check_parts(policy, path, found)
    for index, each in enumerate(policy.port_level_settings or []):
        here: Steps = (*path, "portLevelSettings", index)
        if each.port is None:
            found.error(here, "portTrafficPolicy must have valid port", expected="port.number")
        if not each.model_fields_set - {"port"}:
            found.error(here, "port traffic policy must have at least one field")
        _check_parts(each, here, found)
    tunnel = policy.tunnel
    if tunnel is not None:
        if tunnel.protocol and tunnel.protocol not in ("CONNECT", "POST"):
            text = 'tunnel protocol must be "CONNECT" or "POST"'
            found.error((*path, "tunnel", "protocol"), text, expected="CONNECT, POST")
        wrong = names.fqdn_error(tunnel.target_host)
        if wrong and not names.is_ip(tunnel.target_host):
            text = f"tunnel target host must be valid FQDN or IP address: {wrong}"
            found.error((*path, "tunnel", "targetHost"), text)
        wrong = names.port_error(tunnel.target_port)
        if wrong:
            found.error((*path, "tunnel", "targetPort"), f"tunnel target port is invalid: {wrong}")


def _check_parts(policy: TrafficPolicy | PortTrafficPolicy, path: Steps, found: Findings) -> None:
    if policy.outlier_detection is not None:
        _check_outlier(policy.outlier_detection, (*path, "outlierDetection"), found)
    if policy.connection_pool is not None:
        check_connection_pool(policy.connection_pool, (*path, "connectionPool"), found)
    if policy.load_balancer is not None:
        _check_balancer(
            policy.load_balancer, policy.outlier_detection, (*path, "loadBalancer"), found
        )
    if policy.tls is not None:
        _check_tls(policy.tls, (*path, "tls"), found)


def _check_outlier(outlier: OutlierDetection, path: Steps, found: Findings) -> None:
    found.duration((*path, "baseEjectionTime"), outlier.base_ejection_time)
    if outlier.consecutive_errors and found.era.release >= (1, 5):
        hint = f"{found.era} ignores it: Envoy's default, 5 errors 5xx in a row, holds."
        if found.era.consecutive_errors_honoured:
            hint = ""
        found.warning((*path, "consecutiveErrors"), _CONSECUTIVE, hint)
    if outlier.consecutive_local_origin_failures and not outlier.split_external_local_origin_errors:
        hint = "Add `splitExternalLocalOriginErrors: true`."
        found.error((*path, "consecutiveLocalOriginFailures"), _SPLIT_OFF, hint)
    found.duration((*path, "interval"), outlier.interval)
    found.percent((*path, "maxEjectionPercent"), outlier.max_ejection_percent)
    found.percent((*path, "minHealthPercent"), outlier.min_health_percent)


def check_connection_pool(pool: ConnectionPoolSettings, path: Steps, found: Findings) -> None:
    """Check a connection pool (also of a Sidecar)."""
    if pool.http is None and pool.tcp is None:
        found.error(path, "connection pool must have at least one field", expected="http, tcp")
        return
    disabled = found.era.release >= (1, 26)
    if pool.http is not None:
        http, here = pool.http, (*path, "http")
        numbers = (
            (
                "http1MaxPendingRequests",
                http.http1_max_pending_requests,
                "http1 max pending requests",
            ),
            ("http2MaxRequests", http.http2_max_requests, "http2 max requests"),
            (
                "maxRequestsPerConnection",
                http.max_requests_per_connection,
                "max requests per connection",
            ),
            ("maxRetries", http.max_retries, "max retries"),
            ("maxConcurrentStreams", http.max_concurrent_streams, "max concurrent streams"),
        )
        for field, number, said in numbers:
            _non_negative(number, said, (*here, field), found)
        found.duration((*here, "idleTimeout"), http.idle_timeout, zero=disabled)
        alive, there = http.http2_keep_alive, (*here, "http2KeepAlive")
        if alive is not None:
            for field, value in (("interval", alive.interval), ("timeout", alive.timeout)):
                if value is None:
                    found.error(there, f"http2 keepalive {field} is required", expected=field)
                found.duration((*there, field), value)
        if http.h2_upgrade_policy == "UPGRADE" and http.use_client_protocol:
            text = "use client protocol must not be true when H2UpgradePolicy is UPGRADE"
            found.error((*here, "useClientProtocol"), text)
    if pool.tcp is not None:
        tcp, here = pool.tcp, (*path, "tcp")
        _non_negative(tcp.max_connections, "max connections", (*here, "maxConnections"), found)
        found.duration((*here, "connectTimeout"), tcp.connect_timeout)
        found.duration((*here, "maxConnectionDuration"), tcp.max_connection_duration)
        found.duration((*here, "idleTimeout"), tcp.idle_timeout, zero=disabled)
        if tcp.tcp_keepalive is not None:
            found.duration((*here, "tcpKeepalive", "time"), tcp.tcp_keepalive.time)
            found.duration((*here, "tcpKeepalive", "interval"), tcp.tcp_keepalive.interval)


def _non_negative(number: int | None, said: str, path: Steps, found: Findings) -> None:
    if number is not None and number < 0:
        found.error(path, f"{said} must be non-negative", "0 means Envoy's default.", "0 or more")


def _check_balancer(
    balancer: LoadBalancerSettings, outlier: OutlierDetection | None, path: Steps, found: Findings
) -> None:
    if balancer.simple is not None and balancer.consistent_hash is not None:
        found.error(path, "only one of simple, consistentHash may be set", "Keep one of the two.")
    hashing, here = balancer.consistent_hash, (*path, "consistentHash")
    if hashing is not None:
        if hashing.http_cookie is not None and not hashing.http_cookie.name:
            found.error((*here, "httpCookie", "name"), "name required for HttpCookie")
        cookie = hashing.http_cookie
        if cookie is not None and cookie.ttl is None and found.era.release < (1, 20):
            found.error((*here, "httpCookie"), "ttl required for HttpCookie", expected="ttl")
        if hashing.minimum_ring_size:
            text = (
                "consistent hash MinimumRingSize is deprecated, use ConsistentHashLB's RingHash "
                "configuration instead"
            )
            if found.era.release >= (1, 14):
                found.warning((*here, "minimumRingSize"), text)
            if hashing.ring_hash is not None or hashing.maglev is not None:
                text = "only one of MinimumRingSize or Maglev/Ringhash can be specified"
                found.error((*here, "minimumRingSize"), text)
        if hashing.maglev is not None:
            _check_maglev(hashing.maglev.table_size or 0, (*here, "maglev"), found)
    if balancer.locality_lb_setting is not None and balancer.zone_aware_lb_setting is not None:
        text = "only one of localityLbSetting and zoneAwareLbSetting can be set"
        found.error((*path, "zoneAwareLbSetting"), text, "Keep one of the two.")
    if balancer.locality_lb_setting is not None:
        here = (*path, "localityLbSetting")
        check_locality(balancer.locality_lb_setting, outlier, here, found)
    found.duration((*path, "warmupDurationSecs"), balancer.warmup_duration_secs)


def _check_maglev(size: int, path: Steps, found: Findings) -> None:
    if size == 0:
        found.error(path, "tableSize must be set for maglev")
    elif size >= 5_000_011:
        found.error((*path, "tableSize"), "tableSize must be less than 5000011 for maglev")
    elif not is_prime(size):
        found.error((*path, "tableSize"), "tableSize must be a prime number for maglev")


def is_prime(number: int) -> bool:
    """True for 1, 2, 3 and primes, as Envoy's own test says."""
    if number < 4:
        return number > 0
    return number % 2 == 1 and all(number % odd for odd in range(3, isqrt(number) + 1, 2))


def _check_tls(tls: ClientTLSSettings, path: Steps, found: Findings) -> None:
    if tls.insecure_skip_verify:
        known = bool(tls.ca_certificates) or tls.subject_alt_names is not None
        text = (
            "cannot specify CaCertificates or SubjectAltNames when InsecureSkipVerify is set true"
        )
        if tls.mode == "SIMPLE":
            known = known or bool(tls.credential_name)
            text = text.replace(" or Sub", " or CredentialName or Sub")
        if known and tls.mode in ("SIMPLE", "MUTUAL"):
            found.error((*path, "insecureSkipVerify"), text, "Check the server, or do not.")
    if tls.credential_name and (tls.mode in ("SIMPLE", "MUTUAL")):
        if tls.client_certificate or tls.ca_certificates or tls.private_key:
            text = "cannot specify client certificates or CA certificate If credentialName is set"
            found.error((*path, "credentialName"), text)
        return
    if tls.mode == "MUTUAL":
        if not tls.client_certificate:
            found.error(path, "client certificate required for mutual tls")
        if not tls.private_key:
            found.error(path, "private key required for mutual tls")
