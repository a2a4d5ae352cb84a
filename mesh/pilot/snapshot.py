"""A snapshot: all xDS resources of one proxy, typed, and packed for the wire once.

Encoding a resource costs about a millisecond, so an unchanged one is packed only once and its
bytes are shared by every sidecar that gets the same.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import betterproto2
from envoy_data_plane.google.protobuf import Any

_PREFIX = "type.googleapis.com/envoy.config."
CDS = f"{_PREFIX}cluster.v3.Cluster"
EDS = f"{_PREFIX}endpoint.v3.ClusterLoadAssignment"
LDS = f"{_PREFIX}listener.v3.Listener"
RDS = f"{_PREFIX}route.v3.RouteConfiguration"

PUSH_ORDER = (CDS, EDS, LDS, RDS)
"""Make before break: a route may only name a cluster that is there already (Envoy, xDS protocol)."""

Resources = dict[str, betterproto2.Message]
"""Resource name -> message, of one type."""

Snapshot = dict[str, Resources]
"""Type URL -> resources."""


@dataclass(slots=True)
class PackedCache:
    """The packed form of each resource; packs again only when the resource differs."""

    _packed: dict[tuple[str, str], list[tuple[betterproto2.Message, Any]]] = field(
        default_factory=dict
    )

    def pack(self, type_url: str, name: str, message: betterproto2.Message) -> Any:
        """``message`` as a google.protobuf.Any."""
        known = self._packed.setdefault((type_url, name), [])
        for seen, packed in known:
            if seen is message or seen == message:
                return packed
        packed = Any(type_url=type_url, value=bytes(message))
        known.append((message, packed))
        del known[:-4]  # the last few variants: sidecars differ, old versions go
        return packed
