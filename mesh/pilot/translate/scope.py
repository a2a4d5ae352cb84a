"""Scope: what one proxy gets to know of the mesh.

By default a sidecar knows every service that is exported to it, so a change anywhere is pushed
everywhere.  The resource Sidecar cuts that down: ``egress[].hosts`` (``namespace/host``, ``./*``,
``*/*``) says what it imports, ``outboundTrafficPolicy`` what happens to the rest,
``inboundConnectionPool`` how much the own application takes.  The Sidecar that holds: with a fitting
``workloadSelector``, else the namespace's, else the root namespace's.
What a VirtualService routes to is imported with it, without a name of its own.
An egress listener with a port has that port for itself.  Gateways know everything exported to them.
Source: istio/istio ``pilot/pkg/model/sidecar.go`` (ConvertToSidecarScope).
Shown by ``meshctl proxy-config cluster POD`` and ``meshctl proxy-config route POD``.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, replace
from typing import cast

from mesh.istio.models.sidecar import Sidecar
from mesh.pilot.node import ProxyNode
from mesh.pilot.translate.imports import Imports
from mesh.pilot.translate.view import MeshView, OutboundPolicy
from mesh.topology import ROOT_NAMESPACE

SCOPE = "scope"
"""Word for a scope in the memo."""


@dataclass(frozen=True, slots=True)
class Selected:
    """The Sidecar resource that holds for a proxy."""

    name: str
    namespace: str
    spec: Sidecar


def sidecar_of(view: MeshView, node: ProxyNode) -> Selected | None:
    """Return the Sidecar resource of ``node``; None when there is none, or it is a gateway."""
    if node.type != "sidecar":
        return None
    whole: dict[str, Selected] = {}
    for each in view.of_kind("Sidecar", node.namespace, ROOT_NAMESPACE):
        spec: Sidecar = each.spec
        found = Selected(each.name, each.namespace, spec)
        wanted = (spec.workload_selector.labels if spec.workload_selector else None) or {}
        if not wanted:
            whole.setdefault(each.namespace, found)
        elif each.namespace == node.namespace and wanted.items() <= node.labels.items():
            return found
    return whole.get(node.namespace) or whole.get(ROOT_NAMESPACE)


def key(view: MeshView, node: ProxyNode) -> Hashable:
    """Return what the scope of ``node`` depends on: equal keys, equal scopes."""
    sidecar = sidecar_of(view, node)
    chosen = (sidecar.namespace, sidecar.name) if sidecar else None
    labels = frozenset(node.labels.items()) if view.configs.rules_count_labels() else None
    return node.namespace, node.type, chosen, labels, node.locality


def scoped(view: MeshView, node: ProxyNode) -> MeshView:
    """Return the view with only what ``node`` may know."""
    sidecar = sidecar_of(view, node)
    policy, proxy, pool, egress = view.outbound_policy, None, None, None
    if view.mesh_config.outbound_policy:
        policy = cast(OutboundPolicy, view.mesh_config.outbound_policy)
    if sidecar is not None:
        pool, egress = sidecar.spec.inbound_connection_pool, sidecar.spec.egress or None
        if sidecar.spec.outbound_traffic_policy is not None:
            policy = sidecar.spec.outbound_traffic_policy.mode or "REGISTRY_ONLY"
            proxy = sidecar.spec.outbound_traffic_policy.egress_proxy
    return replace(
        view,
        whole=view,
        origin=(SCOPE, key(view, node)),
        imports=Imports(node.namespace, egress),
        client=node.namespace,
        labels=node.labels,
        locality=node.locality,
        router=node.type == "router",
        outbound_policy=policy,
        egress_proxy=proxy,
        inbound_pool=pool,
    )
