"""ServiceEntry: a host outside the cluster, entered into the mesh's registry.

Without it (and with the outbound policy REGISTRY_ONLY) a sidecar refuses the host; with it the
host gets clusters, routes, retries and metrics like a service of the mesh.
Fields: istio/api ``networking/v1alpha3/service_entry.proto``.
Shown by ``meshctl proxy-config cluster POD``.
"""

from __future__ import annotations

from typing import Literal

from mesh.istio.models.base import Model, UInt32, WorkloadSelector
from mesh.istio.models.workload_entry import WorkloadEntry


class ServicePort(Model):
    """A port of the host; its protocol decides what the sidecar can see."""

    number: UInt32
    protocol: str | None = None
    name: str
    target_port: UInt32 | None = None


class ServiceEntry(Model):
    """``spec`` of a ServiceEntry."""

    hosts: list[str]
    addresses: list[str] | None = None
    ports: list[ServicePort] | None = None
    location: Literal["MESH_EXTERNAL", "MESH_INTERNAL"] | None = None
    resolution: Literal["NONE", "STATIC", "DNS", "DNS_ROUND_ROBIN", "DYNAMIC_DNS"] | None = None
    endpoints: list[WorkloadEntry] | None = None
    workload_selector: WorkloadSelector | None = None
    export_to: list[str] | None = None
    subject_alt_names: list[str] | None = None
