"""Resource: one object of a mesh's configuration, and where each of its words stands.

The stages after loading (analysis, translation, explanation) speak of a resource by the path of
a field, ``spec.http[0].route[1].weight``, as Istio's own messages do; the Source turns the path
into a line and a column of the student's file.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel

from mesh.istio.kinds import qualified
from mesh.istio.problem import Level, Position, Problem
from mesh.istio.tree import Entry, Node

type Step = str | int
type Path = str | Sequence[Step]

_STEP = re.compile(r'\.?([^.\[\]]+)|\[(\d{1,9})\]|\["((?:[^"\\]|\\.)*)"\]')
_WORD = re.compile(r"[A-Za-z0-9_-]+\Z")


def parse_path(path: str) -> tuple[Step, ...]:
    """Read ``spec.http[0]`` or ``metadata.labels["app.kubernetes.io/name"]`` into steps."""
    steps: list[Step] = []
    for name, number, quoted in _STEP.findall(path):
        if number:
            steps.append(int(number))
        else:
            steps.append(name or re.sub(r"\\(.)", r"\1", quoted))
    return tuple(steps)


def format_path(steps: Sequence[Step]) -> str:
    """Write steps as Istio writes a path: ``spec.http[0].match[1].headers["x.y"]``."""
    text = ""
    for step in steps:
        if isinstance(step, int):
            text += f"[{step}]"
        elif _WORD.match(step):
            text += f".{step}" if text else step
        else:
            quoted = step.replace("\\", "\\\\").replace('"', '\\"')
            text += f'["{quoted}"]'
    return text


def steps_of(path: Path) -> tuple[Step, ...]:
    """Return the steps of a path in either form."""
    return parse_path(path) if isinstance(path, str) else tuple(path)


def _entry(node: Node, step: Step) -> Entry | None:
    """Find one step below a node; camelCase finds snake_case and the other way round."""
    if isinstance(step, int):
        if node.kind != "list" or step >= len(node.items):
            return None
        item = node.items[step]
        return Entry(item.line, item.column, item)
    if node.kind != "map":
        return None
    if step in node.entries:
        return node.entries[step]
    bare = step.replace("_", "").lower()
    for key, entry in node.entries.items():
        if key.replace("_", "").lower() == bare:
            return entry
    return None


@dataclass(frozen=True, slots=True)
class Source:
    """Where a resource was read: the file, which document of it (from 0), and its raw text."""

    file: str
    index: int
    text: str = field(repr=False)
    root: Node = field(repr=False)

    def position(self, path: Path = ()) -> Position:
        """Return where the key (or list item) of a path starts; where it is missing, its parent."""
        node, line, column = self.root, self.root.line, self.root.column
        for step in steps_of(path):
            entry = _entry(node, step)
            if entry is None:
                break
            node = entry.node
            line, column = (entry.line, entry.column) if entry.line else (node.line, node.column)
        return Position(self.file, line, column)

    def value_position(self, path: Path) -> Position:
        """Return where the value of a path starts, or the key when there is no such value."""
        node = self.node(path)
        return Position(self.file, node.line, node.column) if node else self.position(path)

    def node(self, path: Path) -> Node | None:
        """Return the tree below a path, None when the document does not have it."""
        node = self.root
        for step in steps_of(path):
            entry = _entry(node, step)
            if entry is None:
                return None
            node = entry.node
        return node

    def value(self, path: Path) -> Any:
        """Return the plain value at a path as the document has it, None when it is missing."""
        node = self.node(path)
        return node.plain() if node else None


@dataclass(frozen=True, slots=True, eq=False)
class Resource:
    """One object: Istio's, the Gateway API's or Kubernetes'.

    ``spec`` is the model of its kind in ``mesh.istio.models``; ``namespace`` is filled in.
    """

    kind: str
    api_version: str
    name: str
    namespace: str
    labels: dict[str, str]
    annotations: dict[str, str]
    spec: BaseModel
    source: Source

    @property
    def group(self) -> str:
        """The API group: ``networking.istio.io``; empty for Kubernetes' core."""
        return self.api_version.rpartition("/")[0]

    @property
    def version(self) -> str:
        """The version in the group: ``v1alpha3``."""
        return self.api_version.rpartition("/")[2]

    @property
    def qualified_kind(self) -> str:
        """The kind, with its group where two kinds have one name (Gateway)."""
        return qualified(self.api_version, self.kind)

    @property
    def full_name(self) -> str:
        """As problems name it: ``VirtualService tutorial/recommendation``."""
        return f"{self.kind} {show(self.namespace)}/{show(self.name)}"

    def position(self, path: Path = ()) -> Position:
        """Return the place of a path (``spec.http[0].route``) in the file."""
        return self.source.position(path)

    def problem(
        self,
        code: str,
        level: Level,
        message: str,
        path: Path = (),
        *,
        read: str = "",
        expected: str = "",
        nearest: str = "",
        hint: str = "",
        fix: str = "",
    ) -> Problem:
        """Return a Problem of this resource at a path; ``read`` is the document's word unless given."""
        steps = steps_of(path)
        return Problem(
            code,
            level,
            message,
            self.position(steps),
            format_path(steps),
            read=read or (show(self.source.value(steps)) if steps else ""),
            expected=expected,
            nearest=nearest,
            hint=hint,
            resource=self.full_name,
            fix=fix,
        )


def by_age(resources: Iterable[Resource]) -> list[Resource]:
    """Return resources that come together as istiod ranks them, the oldest first.

    What a cluster printed has its ``metadata.creationTimestamp``; all else is as old as the others
    that are applied with it, for a cluster counts whole seconds, and there the name decides, then the
    namespace.  Source: istio/istio ``pilot/pkg/model/push_context.go``, ``sortConfigByCreationTime``.
    """

    def rank(resource: Resource) -> tuple[bool, str, str, str]:
        created = resource.source.value("metadata.creationTimestamp")
        return not created, str(created or ""), resource.name, resource.namespace

    return sorted(resources, key=rank)


def show(value: object) -> str:
    """Return what stood in the document, on one line and short."""
    if value is None:
        return ""
    if isinstance(value, dict):
        text = "{" + ", ".join(f"{show(key)}: ..." for key in list(value)[:5]) + "}"
    elif isinstance(value, list):
        text = "[" + ", ".join(show(each) for each in value[:5]) + "]"
    elif isinstance(value, bool):
        text = str(value).lower()
    else:
        text = "".join(
            each if each.isprintable() else repr(each)[1:-1] for each in str(value)[:100]
        )
    return text if len(text) <= 80 else text[:77] + "..."
