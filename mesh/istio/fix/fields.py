"""A document against the model of its kind: which keys have no place where they stand."""

from __future__ import annotations

import types
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from mesh.istio.document import Document, Entry, Node
from mesh.istio.fix.draft import Draft, child, scalar
from mesh.istio.kinds import KINDS, Kind
from mesh.istio.models.base import child_model, fields_of, is_map


@dataclass(frozen=True, slots=True)
class Level:
    """A map on the way down: its node, its model, the key by which the way goes on, the path."""

    node: Node
    model: type[BaseModel]
    path: str
    key: str = ""


@dataclass(frozen=True, slots=True)
class Place:
    """A key of a document: the maps above it (the last one holds it) and its entry."""

    levels: tuple[Level, ...]
    name: str
    entry: Entry
    field: FieldInfo | None
    """None when the model does not know the key."""

    @property
    def owner(self) -> Level:
        """The map that holds the key."""
        return self.levels[-1]

    @property
    def path(self) -> str:
        """Path of the key, ``spec.http[0].retries``."""
        return f"{self.owner.path}.{self.name}"


def kind_of(root: Node) -> Kind | None:
    """Return the kind that a document states (apiVersion aside)."""
    name = scalar(child(root, "kind"))
    group = scalar(child(root, "apiVersion")).rpartition("/")[0]
    kinds = [kind for kind in KINDS if kind.name == name and not kind.whole]
    return next((kind for kind in kinds if kind.group == group), kinds[0] if kinds else None)


def specs(draft: Draft) -> Iterator[tuple[Document, Node, Kind, Node]]:
    """Yield the documents of a known kind that have a spec: document, root, kind, spec."""
    for document, root in draft.plain_documents:
        kind = kind_of(root)
        spec = child(root, "spec")
        if kind is not None and spec is not None and spec.kind == "map":
            yield document, root, kind, spec


def places(draft: Draft) -> Iterator[Place]:
    """Yield every key below ``spec`` of every document, known or not, from the top down."""
    for _, _, kind, spec in specs(draft):
        yield from _walk((Level(spec, kind.model, "spec"),))


def unknown(draft: Draft) -> Iterator[Place]:
    """Yield the keys that the models do not know."""
    return (place for place in places(draft) if place.field is None)


def _walk(levels: tuple[Level, ...]) -> Iterator[Place]:
    here = levels[-1]
    known = fields_of(here.model)
    for name, entry in here.node.entries.items():
        if not draftable(entry):
            continue
        field = known.get(name) or here.model.model_fields.get(name)
        yield Place(levels, name, entry, field)
        below = child_model(field) if field is not None else None
        if below is None or field is None:
            continue
        up = (*levels[:-1], Level(here.node, here.model, here.path, name))
        path = f"{here.path}.{name}"
        if is_map(field) and entry.node.kind == "map":
            for key, value in entry.node.entries.items():
                if value.node.kind == "map":
                    yield from _walk((*up, Level(value.node, below, f'{path}["{key}"]')))
        elif is_list(field) and entry.node.kind == "list":
            for index, item in enumerate(entry.node.items):
                if item.kind == "map":
                    yield from _walk((*up, Level(item, below, f"{path}[{index}]")))
        elif entry.node.kind == "map" and not is_map(field):
            yield from _walk((*up, Level(entry.node, below, path)))


def draftable(entry: Entry) -> bool:
    """False for keys that a merge (``<<``) brought: they stand nowhere."""
    return entry.line > 0


def is_list(field: FieldInfo) -> bool:
    """True when the field is a list."""
    return _origin(field.annotation) is list


def _origin(annotation: Any) -> Any:
    origin = get_origin(annotation)
    if origin in (Union, types.UnionType):
        return _origin(next(each for each in get_args(annotation) if each is not type(None)))
    return origin
