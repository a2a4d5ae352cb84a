"""YAML files -> resources, and everything that is wrong with them.

``load_text`` reads one text of several documents, ``load_paths`` files and folders.  A document
that is broken costs only itself.  What is checked here is what an API server checks before Istio
sees the object: syntax, kind, apiVersion, metadata, fields and their types; Istio's own rules
are in ``mesh.istio.validate``.  Shown by ``meshctl validate FILE``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from mesh.istio.document import MAX_BYTES, MAX_DOCUMENTS, decode, parse
from mesh.istio.envelope import KIND, kind_of, name_problems, spec_of, word
from mesh.istio.eras import Era
from mesh.istio.metadata import ObjectMeta
from mesh.istio.problem import LIMIT, Level, Position, Problem, Room
from mesh.istio.resource import Resource, Source, show
from mesh.istio.schema import SCHEMA, check, removed_fields, schema_error
from mesh.istio.tree import ENCODING

ANSWERS = "answers.yaml"
"""A lab's folder has it beside the resources: what a student answered is no object."""


@dataclass(slots=True)
class Loaded:
    """What a text or a set of files held: the resources that can be read, and the problems."""

    resources: list[Resource] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


def load_paths(paths: Iterable[str | Path], *, era: Era, namespace: str = "default") -> Loaded:
    """Read files, and the ``*.yaml`` and ``*.yml`` files below folders, in the order of names.

    Answers to a lab's questions are left out of a folder.

    A file that cannot be read is a Problem, never an exception.
    """
    loaded = Loaded()
    for path in paths:
        for file in _files(Path(path), loaded.problems):
            try:
                with file.open("rb") as stream:
                    data = stream.read(MAX_BYTES + 1)
            except OSError as error:
                hint = "Name a file or folder that exists and that you may read."
                loaded.problems.append(_unreadable(str(file), error.strerror or str(error), hint))
                continue
            part = load_text(data, str(file), era=era, namespace=namespace)
            loaded.resources += part.resources
            loaded.problems += part.problems
    return loaded


def _files(path: Path, problems: list[Problem]) -> list[Path]:
    if not path.is_dir():
        return [path]
    found = sorted(
        each
        for each in path.rglob("*")
        if each.suffix in (".yaml", ".yml") and each.name != ANSWERS and each.is_file()
    )
    if not found:
        problems.append(_unreadable(str(path), "no *.yaml file in this folder", "", Level.WARNING))
    return found


def _unreadable(file: str, message: str, hint: str, level: Level = Level.ERROR) -> Problem:
    return Problem(ENCODING, level, message, Position(file), hint=hint)


def load_text(text: str | bytes, file: str = "", *, era: Era, namespace: str = "default") -> Loaded:
    """Read a text of one or more documents; ``namespace`` is for objects that state none.

    Never raises for what stands in the text.
    """
    loaded, room, objects = Loaded(), Room(), 0
    if isinstance(text, bytes):
        text, loaded.problems = decode(text, file)
    documents, problems = parse(text, file)
    for document in documents:
        loaded.problems += room.keep(list(document.problems))
        if document.root is None:
            continue
        source = Source(file, document.index, document.text, document.root)
        for each in _objects(source, loaded.problems):
            objects += 1
            if objects > MAX_DOCUMENTS:
                message = f"more than {MAX_DOCUMENTS} objects in one file"
                loaded.problems.append(Problem(LIMIT, Level.ERROR, message, each.position()))
                break
            _load(each, era, namespace, loaded, room)
    loaded.problems += problems
    if loaded.problems:
        loaded.problems += room.rest(loaded.problems[-1].position)
    return loaded


def _objects(source: Source, problems: list[Problem]) -> Iterator[Source]:
    """Return the object of a document; of a List, its items."""
    root = source.root
    kind = root.entries.get("kind") if root.kind == "map" else None
    if kind is None or not isinstance(kind.node.value, str) or not kind.node.value.endswith("List"):
        yield source
        return
    items = root.entries.get("items")
    if items is None or items.node.kind != "list":
        text = schema_error("items: Required value")
        problems.append(
            Problem(SCHEMA, Level.ERROR, text, source.position(), "items", expected="array")
        )
        return
    for item in items.node.items:
        yield from _objects(Source(source.file, source.index, source.text, item), problems)


def _load(source: Source, era: Era, namespace: str, loaded: Loaded, room: Room) -> None:
    if source.root.kind != "map":
        if not room.take(1):
            return
        message = "this document is no object: it has no apiVersion, kind, metadata and spec"
        read = show(source.root.plain())
        loaded.problems.append(Problem(KIND, Level.ERROR, message, source.position(), read=read))
        return
    found: list[Problem] = []
    kind, stated = kind_of(source, era, found)
    problems = room.keep(found)
    named = kind.name if kind else word(source, "kind") or "object"
    space = word(source, "metadata.namespace") or namespace
    name = word(source, "metadata.name")
    owner = f"{show(named)} {show(space)}/{show(name)}" if name else show(named)
    raw = source.value("metadata")
    meta, found = check(ObjectMeta, {} if raw is None else raw, source, ("metadata",), owner, room)
    problems += found
    if kind is not None:
        problems += room.keep(name_problems(kind, source))
        spec, found = spec_of(kind, source, owner, room)
        problems += found
        if spec is not None:
            base = () if kind.whole else ("spec",)
            problems += room.keep(removed_fields(spec, source, base, era, owner))
            if stated and meta is not None:
                api_version, name = word(source, "apiVersion"), meta.name or ""
                labels, notes = meta.labels or {}, meta.annotations or {}
                loaded.resources.append(
                    Resource(named, api_version, name, space, labels, notes, spec, source)
                )
    loaded.problems += [
        each if each.resource else replace(each, resource=owner) for each in problems
    ]
