"""Istio resources -> Envoy's xDS v3, one module per feature and per xDS resource.

This is istiod's core (istio/istio ``pilot/pkg/networking/core``): everything that reads Istio YAML
ends here, everything that moves a request starts from here.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

from betterproto2 import Message
from envoy_data_plane.envoy.config.cluster.v3 import Cluster, ClusterDiscoveryType

from mesh.pilot.node import ProxyNode
from mesh.pilot.translate import (
    clusters,
    connect,
    endpoints,
    envoy_filter,
    gateway,
    gateway_chains,
    listeners,
    name_table,
    outbound_policy,
    outside_tls,
    routes,
    scope,
    tracing,
)
from mesh.pilot.translate.messages import CDS, EDS, LDS, RDS, SHORT, TYPES
from mesh.pilot.translate.view import MeshView

Snapshot = dict[str, dict[str, Message]]
"""Type URL -> resource name -> message: all that one proxy has to have."""


@dataclass(frozen=True, slots=True)
class _Part:
    """What proxies with the same scope share."""

    view: MeshView
    clusters: dict[str, Message]
    endpoints: dict[str, Message]


class Translator:
    """Translates one view for many nodes; what is equal for several of them is made once."""

    def __init__(self, view: MeshView) -> None:
        self.view = view
        self._parts: dict[Hashable, _Part] = {}

    def snapshot(self, node: ProxyNode) -> Snapshot:
        """Return the resources of ``node``."""
        part = self._part(node)
        tables = [
            gateway.route_configuration(part.view, node, port)
            for port in gateway.servers(part.view, node)
        ]
        tables += gateway_chains.tables(part.view, node)
        inbound = clusters.inbound_clusters(part.view, node)
        chosen = envoy_filter.key(part.view, node)
        envoy_filter.apply(part.view, chosen, inbound, envoy_filter.INBOUND, node.services)
        own: dict[str, Message] = dict(inbound)
        if node.captured:
            tables += routes.captured(part.view, node)
        elif node.outbound_port:
            tables.append(routes.http_proxy(part.view, node))
            own |= connect.clusters(node) | outside_tls.clusters(part.view)
        return {
            CDS: {**part.clusters, **own},
            EDS: dict(part.endpoints),
            LDS: dict(listeners.listeners(part.view, node)),
            RDS: {table.name: table for table in tables},
        }

    def names(self, node: ProxyNode) -> name_table.Table:
        """Return what the DNS of ``node`` answers."""
        return name_table.table(self._part(node).view, node) if node.captured else {}

    def _part(self, node: ProxyNode) -> _Part:
        filters = envoy_filter.key(self.view, node)
        key = scope.key(self.view, node), filters
        if key not in self._parts:
            view = scope.scoped(self.view, node)
            outbound = clusters.outbound_clusters(view)
            router = node.type == "router"
            context = envoy_filter.GATEWAY if router else envoy_filter.OUTBOUND
            envoy_filter.apply(view, filters, outbound, context)
            found: dict[str, Message] = dict(outbound)
            assignments: dict[str, Message] = {
                name: endpoints.load_assignment(view, name, checked=bool(cluster.health_checks))
                for name, cluster in found.items()
                if isinstance(cluster, Cluster) and cluster.type is ClusterDiscoveryType.EDS
            }
            found |= outbound_policy.clusters(view)
            found |= tracing.cluster(view)
            self._parts[key] = _Part(view, found, assignments)
        return self._parts[key]


def translate(view: MeshView, node: ProxyNode) -> Snapshot:
    """Return the resources of one node (``Translator`` is for many)."""
    return Translator(view).snapshot(node)


__all__ = ["CDS", "EDS", "LDS", "RDS", "SHORT", "TYPES", "Snapshot", "Translator", "translate"]
