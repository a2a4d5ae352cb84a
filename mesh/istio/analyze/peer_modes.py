"""PeerModes: what the PeerAuthentications of a configuration say, sorted once."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from mesh.istio.models.peer_authentication import PeerAuthentication
from mesh.istio.resource import Resource


@dataclass(frozen=True, slots=True)
class PeerModes:
    """Modes by namespace: for all its pods, and for those that a selector picks; UNSET is none."""

    whole: dict[str, str] = field(default_factory=dict)
    selected: dict[str, list[tuple[dict[str, str], str]]] = field(default_factory=dict)

    @classmethod
    def of(cls, resources: Iterable[Resource]) -> PeerModes:
        """Read resources; of several for the same pods the first counts."""
        found = cls()
        for resource in resources:
            spec = resource.spec
            if not isinstance(spec, PeerAuthentication) or spec.mtls is None:
                continue
            mode = spec.mtls.mode or "UNSET"
            labels = spec.selector.match_labels if spec.selector else None
            if mode == "UNSET":
                continue
            if labels:
                found.selected.setdefault(resource.namespace, []).append((labels, mode))
            else:
                found.whole.setdefault(resource.namespace, mode)
        return found
