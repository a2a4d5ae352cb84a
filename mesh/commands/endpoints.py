"""The table of ``meshctl proxy-config endpoints POD``: what the sidecar itself thinks of each address.

As ``istioctl proxy-config endpoints`` it asks the sidecar (``/clusters?format=json``), not the
control plane, because only the sidecar knows whom it has ejected.  STATUS is UNHEALTHY when the control plane
says so or active health checks fail; OUTLIER CHECK is FAILED while outlier detection ejects it.
Source: istio/istio ``istioctl/pkg/writer/envoy/clusters/clusters.go``.
"""

from __future__ import annotations

from typing import Any

COLUMNS = ["ENDPOINT", "STATUS", "OUTLIER CHECK", "CLUSTER"]


def rows(clusters: dict[str, Any]) -> list[list[str]]:
    """Return a row for each endpoint of ``clusters``, Envoy's JSON, by cluster and address."""
    found = []
    for cluster in clusters.get("cluster_statuses", []):
        for host in cluster.get("host_statuses", []):
            health = host.get("health_status", {})
            outlier = "FAILED" if health.get("failed_outlier_check") else "OK"
            found.append([_address(host["address"]), _status(health), outlier, cluster["name"]])
    return sorted(found, key=lambda row: (row[3], row[0]))


def _status(health: dict[str, Any]) -> str:
    said = str(health.get("eds_health_status", "HEALTHY"))
    return "UNHEALTHY" if said == "HEALTHY" and health.get("failed_active_health_check") else said


def _address(address: dict[str, Any]) -> str:
    if "pipe" in address:
        return f"unix://{address['pipe']['path']}"
    if "envoy_internal_address" in address:
        return f"envoy://{address['envoy_internal_address'].get('server_listener_name', '')}"
    place = address.get("socket_address", {})
    return f"{place.get('address', '')}:{place.get('port_value', 0)}"
