"""Peer metadata: a sidecar tells the next one who it is, so that telemetry knows the source.

In a real mesh Istio's sidecars exchange it (``x-envoy-peer-metadata-id``) beside the certificate.
The client's sidecar overwrites whatever the application wrote there, the server's keeps the value
for its access log and takes the header away before the application; towards a host outside the
mesh it is removed.  Who calls a pod past his own sidecar can still lie: mTLS is the answer to that.
No Istio field sets it.  Shown by ``meshctl logs POD -o json`` (``downstream_peer``).
"""

from __future__ import annotations

from functools import lru_cache

from betterproto2 import Message
from envoy_data_plane.envoy.config.core.v3 import (
    HeaderValue,
    HeaderValueOption,
    HeaderValueOptionHeaderAppendAction,
)
from envoy_data_plane.envoy.config.route.v3 import VirtualHost
from envoy_data_plane.envoy.extensions.filters.http.header_to_metadata.v3 import (
    Config,
    ConfigKeyValuePair,
    ConfigRule,
)

from mesh.accesslog import PEER_HEADER, PEER_KEY, PEER_NAMESPACE
from mesh.pilot.encode import sealed
from mesh.pilot.node import ProxyNode
from mesh.pilot.translate.service_entry import EntryService
from mesh.pilot.translate.view import MeshView

FILTER = "envoy.filters.http.header_to_metadata"


def inbound_filter() -> Message:
    """Return the first filter of a sidecar's way in: it notes the sender."""
    pair = ConfigKeyValuePair(metadata_namespace=PEER_NAMESPACE, key=PEER_KEY)
    return Config(request_rules=[ConfigRule(header=PEER_HEADER, on_header_present=pair)])


def hide(host: VirtualHost) -> None:
    """Take the header away: the application is next, or a host outside the mesh."""
    host.request_headers_to_remove.append(PEER_HEADER)


def announce(view: MeshView, node: ProxyNode, host: VirtualHost) -> None:
    """Name ``node`` to the receiver where every route of ``host`` stays inside the mesh."""
    if not all(_inside(view, cluster) for cluster in _clusters(host)):
        hide(host)
        return
    host.request_headers_to_add.append(_header(node.id))


@lru_cache(maxsize=1024)
def _header(value: str) -> HeaderValueOption:
    """Shared by the virtual hosts of a node; nobody may change it."""
    return sealed(
        HeaderValueOption(
            header=HeaderValue(key=PEER_HEADER, value=value),
            append_action=HeaderValueOptionHeaderAppendAction.OVERWRITE_IF_EXISTS_OR_ADD,
        )
    )


def _clusters(host: VirtualHost) -> list[str]:
    found: list[str] = []
    for route in host.routes:
        match = route.match
        if route.route is None or (match is not None and match.connect_matcher is not None):
            continue  # a tunnel begins in this sidecar: what is inside meets the routes again
        if route.route.weighted_clusters is not None:
            found += [each.name for each in route.route.weighted_clusters.clusters]
        else:
            found.append(route.route.cluster or "")
        found += [each.cluster for each in route.route.request_mirror_policies]
    return found


def _inside(view: MeshView, cluster: str) -> bool:
    """True for a service of the mesh (or one that is not there: nothing reaches it)."""
    if not cluster.startswith("outbound|"):
        return not cluster
    service = view.service(cluster.rpartition("|")[2])
    return not (isinstance(service, EntryService) and service.external)
