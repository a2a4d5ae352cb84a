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


def translate(view: MeshView, node: ProxyNode) -> Snapshot:
    """Return the resources of ``node``."""
    outbound = clusters.outbound_clusters(view)
    route_tables = [
        gateway.route_configuration(view, node, port) for port in gateway.servers(view, node)
    ]
    if node.outbound_port:
        route_tables.append(routes.http_proxy(view, node))
    return {
        CDS: {**outbound, **clusters.inbound_clusters(view, node)},
        EDS: {name: endpoints.load_assignment(view, name) for name in outbound},
        LDS: dict(listeners.listeners(view, node)),
        RDS: {table.name: table for table in route_tables},
    }


__all__ = ["CDS", "EDS", "LDS", "RDS", "SHORT", "TYPES", "Snapshot", "translate"]
