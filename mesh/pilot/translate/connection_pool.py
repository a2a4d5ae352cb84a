"""Connection pool: the circuit breaker, a limit on how much one sidecar asks of one cluster.

Istio's field is ``trafficPolicy.connectionPool``.  What goes over a limit is not queued but
answered at once: 503 with the flag UO and the header ``x-envoy-overloaded``.  Limits count per
calling sidecar and per cluster (so per subset), and 0 means "not set".
HTTP/2 goes upstream where the port's name or ``appProtocol`` says so (http2, grpc), with
``h2UpgradePolicy: UPGRADE``, and for clients that speak it with ``useClientProtocol``.
Every cluster closes idle connections earlier than applications do (20 s), else a request now and
then meets a connection that the application has just closed.
Shown by ``meshctl proxy-config cluster POD -o json`` (``circuitBreakers``).
"""

from __future__ import annotations

from datetime import timedelta
from functools import cache, lru_cache

from envoy_data_plane.envoy.config.cluster.v3 import (
    CircuitBreakers,
    CircuitBreakersThresholds,
    Cluster,
)
from envoy_data_plane.envoy.config.core.v3 import (
    Http1ProtocolOptions,
    Http2ProtocolOptions,
)
from envoy_data_plane.envoy.config.core.v3 import HttpProtocolOptions as CommonOptions
from envoy_data_plane.envoy.extensions.upstreams.http.v3 import (
    HttpProtocolOptions,
    HttpProtocolOptionsExplicitHttpConfig,
    HttpProtocolOptionsUseDownstreamHttpConfig,
)
from envoy_data_plane.google.protobuf import Any

from mesh.istio.models.destination_rule import ConnectionPoolSettings, HTTPSettings, TCPSettings
from mesh.pilot.encode import sealed
from mesh.pilot.translate import messages

UNLIMITED = 2**32 - 1
IDLE_TIMEOUT = timedelta(seconds=20)
CONNECT_TIMEOUT = timedelta(seconds=10)
HTTP_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
HTTP2 = ("http2", "grpc", "grpc-web")


def apply(cluster: Cluster, settings: ConnectionPoolSettings | None, protocol: str) -> None:
    """Write limits, time limits and the HTTP version of a port's ``protocol`` into a cluster."""
    http = (settings.http if settings else None) or HTTPSettings()
    tcp = (settings.tcp if settings else None) or TCPSettings()
    cluster.connect_timeout = tcp.connect_timeout or CONNECT_TIMEOUT
    cluster.circuit_breakers = _limits(
        tcp.max_connections or UNLIMITED,
        http.http1_max_pending_requests or UNLIMITED,
        http.http2_max_requests or UNLIMITED,
        http.max_retries or UNLIMITED,
    )
    options = _usual(protocol) if settings is None else _packed(http, tcp, protocol)
    cluster.typed_extension_protocol_options = {HTTP_OPTIONS: options}


@lru_cache(maxsize=1024)
def _limits(connections: int, pending: int, requests: int, retries: int) -> CircuitBreakers:
    """Return the limits; clusters with equal ones share the message, nobody may change it."""
    limits = CircuitBreakersThresholds(
        max_connections=connections,
        max_pending_requests=pending,
        max_requests=requests,
        max_retries=retries,
        track_remaining=True,
    )
    return sealed(CircuitBreakers(thresholds=[limits]))


@cache
def _usual(protocol: str) -> Any:
    """Return the options of a cluster for which nothing is set; shared, nobody may change it."""
    return _packed(HTTPSettings(), TCPSettings(), protocol)


def _packed(http: HTTPSettings, tcp: TCPSettings, protocol: str) -> Any:
    return sealed(messages.pack(_http_options(http, tcp, protocol)))


def _http_options(http: HTTPSettings, tcp: TCPSettings, protocol: str) -> HttpProtocolOptions:
    common = CommonOptions(idle_timeout=http.idle_timeout or IDLE_TIMEOUT)
    if http.max_requests_per_connection:
        common.max_requests_per_connection = http.max_requests_per_connection
    if tcp.max_connection_duration:
        common.max_connection_duration = tcp.max_connection_duration
    if http.use_client_protocol:
        same = HttpProtocolOptionsUseDownstreamHttpConfig(
            http_protocol_options=Http1ProtocolOptions(),
            http2_protocol_options=Http2ProtocolOptions(),
        )
        return HttpProtocolOptions(
            common_http_protocol_options=common, use_downstream_protocol_config=same
        )
    if protocol in HTTP2 or http.h2_upgrade_policy == "UPGRADE":
        version = HttpProtocolOptionsExplicitHttpConfig(
            http2_protocol_options=Http2ProtocolOptions()
        )
    else:
        version = HttpProtocolOptionsExplicitHttpConfig(
            http_protocol_options=Http1ProtocolOptions()
        )
    return HttpProtocolOptions(common_http_protocol_options=common, explicit_http_config=version)
