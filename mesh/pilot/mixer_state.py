"""What Mixer has to know of the mesh, and which resources it reads (``POST /mixer-feed``)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from mesh.istio import Era, Resource
from mesh.pilot.node import ProxyNode
from mesh.pilot.registry import Registry
from mesh.pilot.wire import pod_to_dict, service_to_dict

KINDS = frozenset({"Telemetry", "QuotaSpec", "QuotaSpecBinding"})
"""What Mixer reads, beside everything of the group config.istio.io."""


def concerns(resource: Resource | None) -> bool:
    """True for what Mixer reads."""
    if resource is None:
        return False
    return resource.kind in KINDS or resource.api_version.startswith("config.istio.io/")


def state(
    version: int,
    era: Era,
    namespace: str,
    nodes: Iterable[ProxyNode],
    registry: Registry,
    resources: Iterable[Resource],
) -> dict[str, Any]:
    """Return the answer to its long poll: proxies, services, pods and applied resources."""
    return {
        "version": version,
        "era": era.name,
        "namespace": namespace,
        "nodes": [each.as_dict() for each in nodes],
        "pods": [pod_to_dict(each) for each in registry.pods.values()],
        "services": [service_to_dict(each) for each in registry.services.values()],
        "resources": [
            {"file": each.source.file, "text": each.source.text, "namespace": each.namespace}
            for each in resources
            if concerns(each)
        ],
    }
