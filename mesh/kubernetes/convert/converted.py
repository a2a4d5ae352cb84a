"""Converted: documents for a cluster, and how they came about."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import Any

from mesh.istio.problem import Level, Problem
from mesh.istio.resource import Path, Resource

NO_EQUIVALENT = "KIT0201"
"""What an old resource says cannot be said to today's Istio."""

Document = dict[str, Any]


@dataclass(slots=True)
class Converted:
    """``documents`` in the order of the resources; ``notes`` are sentences with file and line."""

    documents: list[Document] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    def note(self, resource: Resource, text: str, path: Path = "kind") -> None:
        """Say what was changed and why."""
        self.notes.append(f"{resource.position(path)}: {resource.kind} {resource.name}: {text}")

    def refuse(self, resource: Resource, text: str, hint: str, path: Path = "kind") -> None:
        """Say what cannot be converted and what to do about it."""
        self.problems.append(resource.problem(NO_EQUIVALENT, Level.ERROR, text, path, hint=hint))


def body(resource: Resource) -> Document:
    """Return a copy of the document as it was written."""
    plain = resource.source.root.plain()
    return copy.deepcopy(plain) if isinstance(plain, dict) else {}


def document(api_version: str, kind: str, name: str, namespace: str, spec: Any) -> Document:
    """Return a new document."""
    meta = {"name": name, "namespace": namespace}
    return {"apiVersion": api_version, "kind": kind, "metadata": meta, "spec": spec}
