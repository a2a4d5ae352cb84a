"""Which kinds there are, in which API versions, from which release of Istio to which.

An API server answers ``no matches for kind`` when a release does not know a kind; the lecture's
Policy, ServiceRole and Mixer kinds are gone since 1.6 and 1.8, Telemetry came with 1.11.  The
table here is the one place that says so.  Source: istio/istio ``manifests/charts/base/files``
and the release notes.
"""

from __future__ import annotations

from dataclasses import dataclass

from mesh.istio.eras import Era
from mesh.istio.models.base import Model
from mesh.istio.models.destination_rule import DestinationRule
from mesh.istio.models.gateway import Gateway
from mesh.istio.models.virtual_service import VirtualService

type Release = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind: its API group and versions, its model, the releases that know it.

    ``whole`` means that the model reads the object itself, not its ``spec`` (ServiceAccount).
    ``until`` is the last release that knew it; None: still known.
    """

    name: str
    group: str
    versions: tuple[str, ...]
    model: type[Model]
    since: Release = (0, 0)
    until: Release | None = None
    whole: bool = False
    namespaced: bool = True

    def known_in(self, era: Era) -> bool:
        """True when the release of the era serves this kind."""
        return self.since <= era.release and (self.until is None or era.release <= self.until)

    def api_version(self, era: Era) -> str:
        """Return the apiVersion to write in this era."""
        best = self.versions[-1]
        if self.group == NETWORKING and era.preferred_networking_version in self.versions:
            best = era.preferred_networking_version
        return f"{self.group}/{best}" if self.group else best


NETWORKING = "networking.istio.io"
_ALL = ("v1alpha3", "v1beta1", "v1")

KINDS: tuple[Kind, ...] = (
    Kind("VirtualService", NETWORKING, _ALL, VirtualService),
    Kind("DestinationRule", NETWORKING, _ALL, DestinationRule),
    Kind("Gateway", NETWORKING, _ALL, Gateway),
)


def kinds_named(name: str) -> list[Kind]:
    """Return the kinds of this name, several when several groups have it (Gateway)."""
    return [kind for kind in KINDS if kind.name == name]


def find_kind(api_version: str, name: str) -> Kind | None:
    """Return the kind of an apiVersion and a kind as written, None when there is none."""
    group, _, version = api_version.rpartition("/")
    for kind in KINDS:
        if kind.name == name and kind.group == group and version in kind.versions:
            return kind
    return None
