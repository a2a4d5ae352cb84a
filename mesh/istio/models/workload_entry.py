"""WorkloadEntry: one machine that is no pod, as an endpoint of a ServiceEntry.

Fields: istio/api ``networking/v1alpha3/workload_entry.proto``.
Shown by ``meshctl proxy-config endpoint POD``.
"""

from __future__ import annotations

from mesh.istio.models.base import Model, StringMap, UInt32


class WorkloadEntry(Model):
    """``spec`` of a WorkloadEntry; ``address`` is an IP, a host name or ``unix:///path``."""

    address: str | None = None
    ports: dict[str, UInt32] | None = None
    labels: StringMap | None = None
    network: str | None = None
    locality: str | None = None
    weight: UInt32 | None = None
    service_account: str | None = None
