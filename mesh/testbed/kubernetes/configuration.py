"""Configuration: what is applied in the cluster, and how a whole configuration replaces another.

Resources go there in the words of today's Istio (``mesh.kubernetes.convert``), as ``meshctl export``
writes them.  Destinations are added before the routes that name them and removed after them, for
a cluster, unlike the kit's control plane, may put two of them in force one after the other.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from mesh.istio.eras import Era
from mesh.istio.resource import Resource
from mesh.istio.written import dump_all
from mesh.kubernetes.convert import KUBERNETES, modernize
from mesh.testbed.client import TestbedError
from mesh.testbed.kubernetes.kubectl import Kubectl, KubectlError

Document = dict[str, Any]
Name = tuple[str, str, str]
"""(kind with group, namespace, name)."""

GROUPS = {
    "networking.istio.io": (
        "serviceentries",
        "workloadentries",
        "gateways",
        "destinationrules",
        "sidecars",
        "envoyfilters",
        "virtualservices",
        "proxyconfigs",
    ),
    "security.istio.io": (
        "peerauthentications",
        "requestauthentications",
        "authorizationpolicies",
    ),
    "telemetry.istio.io": ("telemetries",),
}
"""Kinds that a student may have written, each before those that may name it."""
_FIRST = ("ServiceEntry", "WorkloadEntry", "Gateway", "DestinationRule")


@dataclass(slots=True)
class Configuration:
    """What of the mesh's configuration is in the lab's namespaces (and what was put elsewhere)."""

    kubectl: Kubectl
    spaces: Sequence[str]
    applied: dict[Name, Document] = field(default_factory=dict)

    def look(self) -> None:
        """Learn what is there already: it makes way for a whole configuration."""
        kinds = ",".join(f"{each}.{group}" for group, all_ in GROUPS.items() for each in all_)
        for space in self.spaces:
            try:
                found = self.kubectl.within(space).items(kinds)
            except KubectlError as problem:
                raise TestbedError(
                    f"the cluster has no Istio that can be configured ({problem}): install it as "
                    "docs/kubernetes.md says"
                ) from None
            for each in found:
                self.applied[name_of(each)] = each

    def apply(self, documents: Sequence[Document]) -> None:
        """Bring documents into the cluster, beside what is there."""
        ordered = sorted(documents, key=lambda each: each["kind"] not in _FIRST)
        if ordered:
            text = dump_all(ordered)
            self.kubectl.run("apply", "-f", "-", given=text)
        for each in ordered:
            self.applied[name_of(each)] = each

    def remove(self, names: Iterable[Name]) -> None:
        """Take resources out of the cluster."""
        gone = [self.applied[name] for name in names if name in self.applied]
        gone.sort(key=lambda each: each["kind"] in _FIRST)
        if gone:
            short = [_name_only(each) for each in gone]
            text = dump_all(short)
            self.kubectl.run("delete", "--ignore-not-found", "-f", "-", given=text)
        for each in gone:
            del self.applied[name_of(each)]

    def replace(self, documents: Sequence[Document], keep: Iterable[Name]) -> None:
        """Let documents be the whole configuration, beside ``keep``."""
        wanted = {*keep, *map(name_of, documents)}
        changed = [each for each in documents if self.applied.get(name_of(each)) != each]
        self.apply(changed)
        self.remove([name for name in self.applied if name not in wanted])


def name_of(document: Document) -> Name:
    """Return what makes a document the same object in the cluster."""
    meta = document["metadata"]
    group = str(document["apiVersion"]).partition("/")[0]
    return f"{document['kind']}.{group}", str(meta.get("namespace", "")), str(meta["name"])


def for_cluster(resources: Sequence[Resource], era: Era) -> list[Document]:
    """Return resources in the words of today's Istio; TestbedError for what it has none for."""
    converted = modernize([each for each in resources if each.kind not in KUBERNETES], era)
    if converted.problems:
        told = "; ".join(str(each) for each in converted.problems[:3])
        raise TestbedError(f"this cannot be said to the Istio of a cluster: {told}")
    return converted.documents


def _name_only(document: Document) -> Document:
    meta = {key: document["metadata"].get(key) for key in ("name", "namespace")}
    return {"apiVersion": document["apiVersion"], "kind": document["kind"], "metadata": meta}
