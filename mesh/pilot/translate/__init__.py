"""Istio resources -> Envoy's xDS v3, one module per feature and per xDS resource.

This is istiod's core (istio/istio ``pilot/pkg/networking/core``): everything that reads Istio YAML
ends here, everything that moves a request starts from here.
"""

from __future__ import annotations

from betterproto2 import Message

from mesh.pilot.node import ProxyNode
from mesh.pilot.translate import clusters, endpoints, gateway, listeners, routes
from mesh.pilot.translate.messages import CDS, EDS, LDS, RDS, SHORT, TYPES
from mesh.pilot.translate.view import MeshView

Snapshot = dict[str, dict[str, Message]]
"""Type URL -> resource name -> message: all that one proxy has to have."""


class Translator:
    """Translates one view for many nodes; what is equal for all of them is made once."""

    def __init__(self, view: MeshView) -> None:
        self.view = view
        self._clusters: dict[str, Message] = dict(clusters.outbound_clusters(view))
        self._endpoints: dict[str, Message] = {
            name: endpoints.load_assignment(view, name) for name in self._clusters
        }

    def snapshot(self, node: ProxyNode) -> Snapshot:
        """Return the resources of ``node``."""
        tables = [
            gateway.route_configuration(self.view, node, port)
            for port in gateway.servers(self.view, node)
        ]
        if node.outbound_port:
            tables.append(routes.http_proxy(self.view, node))
        return {
            CDS: {**self._clusters, **clusters.inbound_clusters(self.view, node)},
            EDS: dict(self._endpoints),
            LDS: dict(listeners.listeners(self.view, node)),
            RDS: {table.name: table for table in tables},
        }


def translate(view: MeshView, node: ProxyNode) -> Snapshot:
    """Return the resources of one node (``Translator`` is for many)."""
    return Translator(view).snapshot(node)


__all__ = ["CDS", "EDS", "LDS", "RDS", "SHORT", "TYPES", "Snapshot", "Translator", "translate"]
