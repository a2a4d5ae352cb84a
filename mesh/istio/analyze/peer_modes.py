"""PeerModes: what the PeerAuthentications of a configuration say, sorted once.

A port's word counts before the workload's, that before the namespace's, and that before the mesh's;
of several for the same pods the oldest (``by_age``).  A later object of the same name takes the place
of the earlier one, as ``kubectl apply`` does it.
Source: istio/istio ``pilot/pkg/model/authentication.go``, ``pilot/pkg/security/authn``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from mesh.istio.models.peer_authentication import PeerAuthentication
from mesh.istio.resource import Resource, by_age
from mesh.topology import ROOT_NAMESPACE

DEFAULT = "PERMISSIVE"


@dataclass(frozen=True, slots=True)
class PeerRule:
    """What one PeerAuthentication says; an empty mode is UNSET."""

    resource: Resource
    labels: dict[str, str]
    mode: str
    ports: dict[str, str]


@dataclass(frozen=True, slots=True)
class PeerModes:
    """Rules by namespace: for all its pods, and for those that a selector picks."""

    whole: dict[str, PeerRule] = field(default_factory=dict)
    selected: dict[str, list[PeerRule]] = field(default_factory=dict)
    current: tuple[Resource, ...] = ()

    @classmethod
    def of(cls, resources: Iterable[Resource]) -> PeerModes:
        """Read resources, in the order of files and lines."""
        latest = {(each.namespace, each.name): each for each in resources}
        found = cls(current=tuple(by_age(latest.values())))
        for resource in found.current:
            spec = resource.spec
            if not isinstance(spec, PeerAuthentication):
                continue
            labels = (spec.selector.match_labels if spec.selector else None) or {}
            ports = {port: _mode(each.mode) for port, each in (spec.port_level_mtls or {}).items()}
            rule = PeerRule(resource, labels, _mode(spec.mtls.mode if spec.mtls else None), ports)
            if labels:
                found.selected.setdefault(resource.namespace, []).append(rule)
            elif rule.mode:
                found.whole.setdefault(resource.namespace, rule)
        return found

    def mode(
        self, namespace: str, labels: dict[str, str] | None, port: int | None = None
    ) -> tuple[str, Resource | None]:
        """Return the mode of pods, or of one port of theirs, and what says so (None: nothing)."""
        for rule in self._rules(namespace, labels or {}):
            if own := rule.ports.get(str(port)):
                return own, rule.resource
            if rule.mode:
                return rule.mode, rule.resource
        return DEFAULT, None

    def _rules(self, namespace: str, labels: dict[str, str]) -> Iterator[PeerRule]:
        """Yield the rules that are for pods, the narrowest first."""
        own = (
            rule
            for rule in self.selected.get(namespace, ())
            if rule.labels.items() <= labels.items()
        )
        yield from list(own)[:1]
        for space in dict.fromkeys((namespace, ROOT_NAMESPACE)):
            if space in self.whole:
                yield self.whole[space]


def _mode(said: str | None) -> str:
    return "" if said in (None, "UNSET") else said or ""
