"""Telemetry resources: what is in force for one proxy.

A Telemetry stands for the mesh (in the root namespace), a namespace, or with a ``selector`` for
workloads; for each field the narrowest one that says something counts.
Source: istio/istio ``pilot/pkg/model/telemetry.go`` (applicableTelemetries).
Shown by ``meshctl get``.
"""

from __future__ import annotations

from mesh.istio.models.telemetry import Telemetry
from mesh.pilot.node import ProxyNode
from mesh.pilot.translate.view import MeshView
from mesh.topology import ROOT_NAMESPACE


def in_force(view: MeshView, node: ProxyNode) -> list[Telemetry]:
    """Return the Telemetry of the mesh, the namespace and the workload, broad to narrow."""
    mesh: list[Telemetry] = []
    whole: list[Telemetry] = []
    own: list[Telemetry] = []
    for each in view.of_kind("Telemetry", node.namespace, ROOT_NAMESPACE):
        spec: Telemetry = each.spec
        wanted = (spec.selector.match_labels if spec.selector else None) or {}
        if not wanted and each.namespace == ROOT_NAMESPACE:
            mesh.append(spec)
        elif not wanted and each.namespace == node.namespace:
            whole.append(spec)
        elif wanted and each.namespace == node.namespace and wanted.items() <= node.labels.items():
            own.append(spec)
    return [*mesh[:1], *whole[:1], *own[:1]]
