"""Wire: services and pods as JSON, for the control plane's API (keys of JSON objects are strings)."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from mesh.topology import Pod, Port, Service, Workload


def service_to_dict(service: Service) -> dict[str, Any]:
    """Return the JSON form of a service."""
    return asdict(service)


def service_from_dict(data: dict[str, Any]) -> Service:
    """Read ``service_to_dict``'s form; TypeError for unknown keys."""
    fields = dict(data)
    fields["ports"] = tuple(Port(**each) for each in fields.get("ports") or [{}])
    fields["workloads"] = tuple(Workload(**each) for each in fields.get("workloads") or [])
    fields["export_to"] = tuple(fields.get("export_to") or ())
    return Service(**fields)


def pod_to_dict(pod: Pod) -> dict[str, Any]:
    """Return the JSON form of a pod."""
    data = asdict(pod)
    data["ports"] = {str(port): listen for port, listen in pod.ports.items()}
    return data


def pod_from_dict(data: dict[str, Any]) -> Pod:
    """Read ``pod_to_dict``'s form; TypeError or ValueError for another one."""
    fields = dict(data)
    fields["ports"] = {int(port): int(listen) for port, listen in fields["ports"].items()}
    return Pod(**fields)
