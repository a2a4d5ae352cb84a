"""Store: the applied resources, one YAML file each, so that a killed pilot loses nothing.

In a real mesh etcd behind the Kubernetes API keeps them.  A file is written next to its place,
flushed and renamed before ``apply`` answers.  Its first line is a comment with what the
text alone does not tell (original file and line, namespace, era, order).
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from mesh.istio import Resource, era, load_text

_HEADER = "# mesh-lab: "
Key = tuple[str, str, str]
"""(kind, namespace, name)."""


class StoreError(Exception):
    """A file of the store cannot be written, or does not hold what it should."""


class Named(Protocol):
    """What is needed of ``mesh.istio.Resource``."""

    @property
    def qualified_kind(self) -> str:
        """The kind, with its group where two kinds have one name."""

    @property
    def namespace(self) -> str:
        """``metadata.namespace``."""

    @property
    def name(self) -> str:
        """``metadata.name``."""


def key_of(resource: Named) -> Key:
    """Return what makes a resource the same one: kind, namespace and name."""
    return resource.qualified_kind, resource.namespace, resource.name


@dataclass(slots=True)
class Store:
    """The folder, and the place of each resource in the order of their age."""

    folder: Path
    places: dict[Key, int] = field(default_factory=dict)

    def load(self) -> list[Resource]:
        """Return the resources in the order in which they were applied; StoreError for a bad file."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for unfinished in self.folder.glob("*.tmp"):
            unfinished.unlink()
        found: list[tuple[int, Resource]] = []
        for path in self.folder.glob("*.yaml"):
            first, _, text = path.read_text(encoding="utf-8").partition("\n")
            if not first.startswith(_HEADER):
                raise StoreError(f"{path} was not written by the control plane: remove it.")
            header = json.loads(first.removeprefix(_HEADER))
            found.append((header["order"], _read(path, header, text)))
        found.sort(key=lambda each: each[0])
        self.places = {key_of(resource): place for place, resource in found}
        return [resource for _, resource in found]

    def save(self, resources: list[Resource], era_name: str) -> None:
        """Write resources; all are on the disk before the first one takes its place.

        Of several that are the same one the last counts, and a changed one is as old as before, as in
        what is in force.
        """
        pending: list[tuple[Path, Path]] = []
        newest = max(self.places.values(), default=0)
        for key, resource in {key_of(each): each for each in resources}.items():
            if key not in self.places:
                newest += 1
                self.places[key] = newest
            header = {
                "key": list(key),
                "file": resource.source.file,
                "line": resource.source.root.line,
                "era": era_name,
                "order": self.places[key],
            }
            path = self._path(key)
            temporary = path.with_suffix(".tmp")
            with temporary.open("w", encoding="utf-8") as file:
                file.write(f"{_HEADER}{json.dumps(header)}\n{resource.source.text}")
                file.flush()
                os.fsync(file.fileno())
            pending.append((temporary, path))
        for temporary, path in pending:
            temporary.replace(path)

    def delete(self, key: Key) -> None:
        """Remove a resource; nothing happens when there is none."""
        self.places.pop(key, None)
        self._path(key).unlink(missing_ok=True)

    def _path(self, key: Key) -> Path:
        readable = ".".join(key)[:80].replace("/", "_")
        digest = hashlib.sha256("/".join(key).encode()).hexdigest()[:8]
        return self.folder / f"{readable}.{digest}.yaml"


def _read(path: Path, header: dict[str, Any], text: str) -> Resource:
    """Read the one resource that the header names, with the positions of its original file."""
    kind, namespace, name = header["key"]
    padding = 0
    for _ in range(2):
        padded = "\n" * padding + text
        loaded = load_text(padded, header["file"], era=era(header["era"]), namespace=namespace)
        fitting = [each for each in loaded.resources if key_of(each) == (kind, namespace, name)]
        if not fitting:
            raise StoreError(f"{path} does not hold {kind} {namespace}/{name}: remove it.")
        padding = header["line"] - fitting[0].source.root.line
        if padding <= 0:
            break
    return fitting[0]
