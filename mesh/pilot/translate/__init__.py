"""Istio resources -> Envoy's xDS v3, one module per feature and per xDS resource.

This is istiod's core (istio/istio ``pilot/pkg/networking/core``): everything that reads Istio YAML
ends here, everything that moves a request starts from here.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial

from betterproto2 import Message
from envoy_data_plane.envoy.config.cluster.v3 import Cluster, ClusterDiscoveryType
from envoy_data_plane.envoy.config.endpoint.v3 import ClusterLoadAssignment
from envoy_data_plane.envoy.config.listener.v3 import Listener
from envoy_data_plane.envoy.config.route.v3 import RouteConfiguration

from mesh.pilot.encode import encode
from mesh.pilot.memo import note
from mesh.pilot.node import NODE, ProxyNode
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
from mesh.pilot.translate.blocks import Block
from mesh.pilot.translate.messages import CDS, EDS, LDS, RDS, SHORT, TYPES
from mesh.pilot.translate.view import MeshView

SNAPSHOT = "snapshot"
"""Word for a node's resources in the memo."""
Packed = dict[str, dict[str, bytes]]
"""Type URL -> resource name -> message in wire format: all that one proxy has to have.

Messages are written as soon as they are made and not kept: the bytes are a hundredth of their size.
"""
Snapshot = dict[str, dict[str, Message]]
"""The same, to read."""
KINDS: dict[str, type[Message]] = {
    CDS: Cluster,
    EDS: ClusterLoadAssignment,
    LDS: Listener,
    RDS: RouteConfiguration,
}


@dataclass(frozen=True, slots=True)
class _Part:
    """What is made of some services for proxies with the same scope."""

    clusters: dict[str, bytes]
    endpoints: dict[str, bytes]

    def add(self, other: _Part) -> None:
        """Add what is made of other services."""
        self.clusters.update(other.clusters)
        self.endpoints.update(other.endpoints)


class Translator:
    """Translates one view for many nodes; each part is made once, until what it is made of changes.

    ``forget`` says what changed and returns the ids of the nodes whose resources may differ now.
    """

    def __init__(self, view: MeshView) -> None:
        self.view = view
        self._nodes: dict[str, ProxyNode] = {}

    def forget(self, changed: Iterable[Hashable]) -> set[str]:
        """Forget what was made of what changed; return the nodes that are concerned."""
        gone = self.view.memo.forget(changed)
        return {each[1] for each in gone if isinstance(each, tuple) and each[0] == SNAPSHOT}

    def snapshot(self, node: ProxyNode) -> Packed:
        """Return the resources of ``node``; nobody may change the tables."""
        if self._nodes.get(node.id) != node:
            self.forget([(NODE, node.id)])
            self._nodes[node.id] = node
        return self.view.memo.get((SNAPSHOT, node.id), lambda: self._snapshot(node))

    def remove(self, node_id: str) -> None:
        """Forget a node."""
        if self._nodes.pop(node_id, None) is not None:
            self.forget([(NODE, node_id)])

    def _snapshot(self, node: ProxyNode) -> Packed:
        note((NODE, node.id))
        view = self._scoped(node)
        filters = envoy_filter.key(view, node)
        shared = view.ask("shared", filters, lambda: self._shared(view, filters))

        def own(
            question: str, make: Callable[[MeshView, ProxyNode], dict[str, bytes]]
        ) -> dict[str, bytes]:
            """Ask for what only this node has."""

            def made() -> dict[str, bytes]:
                note((NODE, node.id))
                return make(view, node)

            return view.ask(question, node.id, made)

        self.names(node)  # who changes the names that its DNS answers concerns it
        return {
            CDS: {**shared.clusters, **own("own clusters", _own_clusters)},
            EDS: shared.endpoints,
            LDS: own("listeners", _listeners),
            RDS: own("route tables", _tables),
        }

    def names(self, node: ProxyNode) -> name_table.Table:
        """Return what the DNS of ``node`` answers."""
        view = self._scoped(node)

        def made() -> name_table.Table:
            note((NODE, node.id))
            return name_table.table(view, node)

        return view.ask("names", node.id, made)

    def _scoped(self, node: ProxyNode) -> MeshView:
        key = scope.key(self.view, node)
        return self.view.memo.get((scope.SCOPE, key), lambda: scope.scoped(self.view, node))

    def _shared(self, view: MeshView, filters: tuple[envoy_filter.Key, ...]) -> _Part:
        found = _Part({}, {})
        for block in view.blocks:
            made = partial(self._of_block, view, filters, block)
            found.add(view.ask("clusters of a block", (block, filters), made))
        found.clusters.update(view.ask("fixed clusters", None, lambda: _fixed_clusters(view)))
        return found

    def _of_block(
        self, view: MeshView, filters: tuple[envoy_filter.Key, ...], block: Block
    ) -> _Part:
        found = _Part({}, {})
        for hostname in block:
            made = partial(self._of_service, view, filters, hostname)
            found.add(view.ask("clusters", (hostname, filters), made))
        return found

    def _of_service(
        self, view: MeshView, filters: tuple[envoy_filter.Key, ...], hostname: str
    ) -> _Part:
        service = view.service(hostname)
        made = clusters.outbound_clusters(view, service) if service is not None else {}
        context = envoy_filter.GATEWAY if view.router else envoy_filter.OUTBOUND
        envoy_filter.apply(view, filters, made, context)
        return _Part(
            _encoded(made),
            {
                name: encode(
                    endpoints.load_assignment(view, name, checked=bool(cluster.health_checks))
                )
                for name, cluster in made.items()
                if cluster.type is ClusterDiscoveryType.EDS
            },
        )


def _fixed_clusters(view: MeshView) -> dict[str, bytes]:
    return _encoded(outbound_policy.clusters(view) | tracing.cluster(view))


def _own_clusters(view: MeshView, node: ProxyNode) -> dict[str, bytes]:
    inbound = clusters.inbound_clusters(view, node)
    chosen = envoy_filter.key(view, node)
    envoy_filter.apply(view, chosen, inbound, envoy_filter.INBOUND, node.services)
    if node.outbound_port and not node.captured:
        inbound |= connect.clusters(node) | outside_tls.clusters(view)
    return _encoded(inbound)


def _listeners(view: MeshView, node: ProxyNode) -> dict[str, bytes]:
    return _encoded(listeners.listeners(view, node))


def _tables(view: MeshView, node: ProxyNode) -> dict[str, bytes]:
    found = [gateway.route_configuration(view, node, each) for each in gateway.servers(view, node)]
    made = _encoded({each.name: each for each in found + gateway_chains.tables(view, node)})
    if node.captured:
        return made | _encoded({each.name: each for each in routes.captured(view, node)})
    if node.outbound_port:
        made[routes.HTTP_PROXY] = routes.http_proxy(view, node)
    return made


def _encoded(messages: Mapping[str, Message]) -> dict[str, bytes]:
    return {name: encode(message) for name, message in messages.items()}


def unpack(packed: Packed) -> Snapshot:
    """Return resources to read."""
    return {
        url: {name: KINDS[url].parse(content) for name, content in resources.items()}
        for url, resources in packed.items()
    }


def translate(view: MeshView, node: ProxyNode) -> Snapshot:
    """Return the resources of one node, to read (``Translator`` is for many)."""
    return unpack(Translator(view).snapshot(node))


__all__ = [
    "CDS",
    "EDS",
    "LDS",
    "RDS",
    "SHORT",
    "TYPES",
    "Packed",
    "Snapshot",
    "Translator",
    "translate",
    "unpack",
]
