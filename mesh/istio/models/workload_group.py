"""WorkloadGroup: the template from which WorkloadEntries register themselves.

Fields: istio/api ``networking/v1alpha3/workload_group.proto``.
Shown by ``meshctl describe``.
"""

from __future__ import annotations

from mesh.istio.models.base import Int32, Model, StringMap, UInt32
from mesh.istio.models.workload_entry import WorkloadEntry


class HTTPHeader(Model):
    """A header that a probe sends."""

    name: str | None = None
    value: str | None = None


class HTTPHealthCheck(Model):
    """Probe by HTTP."""

    path: str | None = None
    port: UInt32
    host: str | None = None
    scheme: str | None = None
    http_headers: list[HTTPHeader] | None = None


class TCPHealthCheck(Model):
    """Probe by opening a connection."""

    host: str | None = None
    port: UInt32


class ExecHealthCheck(Model):
    """Probe by a command."""

    command: list[str]


class GrpcHealthCheck(Model):
    """Probe by gRPC's health service."""

    port: UInt32 | None = None
    service: str | None = None


class ReadinessProbe(Model):
    """When an instance is ready; times in seconds."""

    initial_delay_seconds: Int32 | None = None
    timeout_seconds: Int32 | None = None
    period_seconds: Int32 | None = None
    success_threshold: Int32 | None = None
    failure_threshold: Int32 | None = None
    http_get: HTTPHealthCheck | None = None
    tcp_socket: TCPHealthCheck | None = None
    exec: ExecHealthCheck | None = None
    grpc: GrpcHealthCheck | None = None


class GroupMeta(Model):
    """Labels and annotations of the entries."""

    labels: StringMap | None = None
    annotations: StringMap | None = None


class WorkloadGroup(Model):
    """``spec`` of a WorkloadGroup."""

    metadata: GroupMeta | None = None
    template: WorkloadEntry
    probe: ReadinessProbe | None = None
