"""Sidecar: what one sidecar listens to and which services it knows.

By default every sidecar knows every service; ``egress.hosts`` cuts that down, and
``outboundTrafficPolicy`` says what happens to unknown hosts (REGISTRY_ONLY: 502).
Fields: istio/api ``networking/v1alpha3/sidecar.proto``.
Shown by ``meshctl proxy-config listener POD``.
"""

from __future__ import annotations

from typing import Literal

from mesh.istio.models.base import Model, WorkloadSelector
from mesh.istio.models.destination_rule import ConnectionPoolSettings
from mesh.istio.models.gateway import Port, ServerTLSSettings
from mesh.istio.models.virtual_service import Destination

CaptureMode = Literal["DEFAULT", "IPTABLES", "NONE"]


class IstioIngressListener(Model):
    """A port of the inbound side and where the application listens."""

    port: Port
    bind: str | None = None
    capture_mode: CaptureMode | None = None
    default_endpoint: str | None = None
    tls: ServerTLSSettings | None = None
    connection_pool: ConnectionPoolSettings | None = None


class IstioEgressListener(Model):
    """A port of the outbound side and the hosts (``ns/host``) reachable through it."""

    port: Port | None = None
    bind: str | None = None
    capture_mode: CaptureMode | None = None
    hosts: list[str]


class OutboundTrafficPolicy(Model):
    """What happens to hosts that no service or ServiceEntry names."""

    mode: Literal["REGISTRY_ONLY", "ALLOW_ANY"] | None = None
    egress_proxy: Destination | None = None


class Sidecar(Model):
    """``spec`` of a Sidecar."""

    workload_selector: WorkloadSelector | None = None
    ingress: list[IstioIngressListener] | None = None
    egress: list[IstioEgressListener] | None = None
    outbound_traffic_policy: OutboundTrafficPolicy | None = None
    inbound_connection_pool: ConnectionPoolSettings | None = None
