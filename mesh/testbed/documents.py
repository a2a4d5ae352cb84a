"""What can be applied: files, folders, texts, and resources that were loaded already."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from mesh.istio.resource import Resource
from mesh.testbed.base import Document
from mesh.testbed.client import TestbedError

Key = tuple[str, str, str]
"""(kind, namespace, name)."""


def key_of(resource: Resource) -> Key:
    """Return what makes a resource the same one."""
    return resource.qualified_kind, resource.namespace, resource.name


def documents(what: Iterable[Path | str | Document | Resource]) -> list[Document]:
    """Return (file, text) of each item; a folder stands for its YAML files, in order of name."""
    found: list[Document] = []
    for item in what:
        if isinstance(item, Resource):
            document = _of_resource(item)
            if document not in found:  # a List gives several resources of one text
                found.append(document)
        elif isinstance(item, Path):
            found += _of_path(item)
        elif isinstance(item, str):
            found.append(("", item))
        else:
            found.append(item)
    return found


def _of_resource(resource: Resource) -> Document:
    """Pad the resource's text so that its lines have the numbers of the file it came from."""
    text, line = resource.source.text, resource.source.root.line
    before = 0
    for each in text.splitlines():
        if each.strip() and not each.lstrip().startswith(("#", "---", "%")):
            break
        before += 1
    return resource.source.file, "\n" * max(0, line - 1 - before) + text


def _of_path(path: Path) -> list[Document]:
    files = [path]
    if path.is_dir():
        files = sorted(each for each in path.iterdir() if each.suffix in (".yaml", ".yml"))
        if not files:
            raise TestbedError(f"{path} has no file that ends in .yaml or .yml")
    found = []
    for file in files:
        try:
            found.append((str(file), file.read_text(encoding="utf-8")))
        except OSError as problem:
            raise TestbedError(f"cannot read {file}: {problem.strerror}") from None
        except UnicodeDecodeError:
            raise TestbedError(f"{file} is not UTF-8 text: save it as UTF-8") from None
    return found
