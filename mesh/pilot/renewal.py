"""Renewal: a change of who may call, and how, holds for connections that are open already.

Policies, token checks, the mTLS mode and filters travel by LDS.  Envoy leaves an open connection with
the listener that accepted it, so the first request on each connection that a caller's sidecar keeps
would still meet the old rules; real meshes accept that.  Here a change that was acknowledged counts:
once the new listeners are in force, the clusters that lead to them get another ``generation`` in
their metadata.  A cluster that differs is replaced, and the old one lets go of its idle connections
and finishes what is under way on the others; no request is lost.
See it with ``meshctl proxy-config cluster POD -o json`` (``metadata``).
Source: Envoy ``source/common/upstream/cluster_manager_impl.cc`` (``ClusterEntry``: its pools drain).
"""

from __future__ import annotations

from collections.abc import Mapping

from mesh.pilot.node import ProxyNode
from mesh.pilot.translate.messages import LDS

INBOUND = "virtualInbound"
"""How the listeners begin that take what others send; all of a gateway do."""


def changed_listeners(node: ProxyNode, old: Mapping[str, bytes], new: Mapping[str, bytes]) -> bool:
    """Tell whether listeners differ that a proxy had (``old``, bytes by name) and that others call."""
    return any(
        new.get(name) != content
        for name, content in old.items()
        if node.gateway_ports or name.startswith(INBOUND)
    )


def concerned(
    nodes: Mapping[str, ProxyNode],
    old: Mapping[str, Mapping[str, Mapping[str, bytes]]],
    new: Mapping[str, Mapping[str, Mapping[str, bytes]]],
) -> set[str]:
    """Return the host names of services behind listeners that ``new`` changes (resources by node)."""
    return {
        hostname
        for node_id, made in new.items()
        if node_id in old and changed_listeners(nodes[node_id], old[node_id][LDS], made[LDS])
        for hostname in nodes[node_id].services
    }
