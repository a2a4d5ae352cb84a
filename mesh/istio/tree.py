"""One YAML document -> a tree of nodes with places, built from the parser's events.

Nothing recurses and everything is counted as it comes: values (aliases as often as they are
used), depth, keys; so a hostile document costs no more than a large one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Literal

import yaml

from mesh.istio.problem import LIMIT, Level, Position, Problem
from mesh.istio.scalars import BadScalarError, resolve

MAX_DEPTH = 64
MAX_VALUES = 60_000
MAX_KEYS = 5_000
MAX_DUPLICATES = 50

SYNTAX = "KIT0001"
ENCODING = "KIT0003"

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff\ufffe\uffff]")


@dataclass(slots=True)
class Node:
    """One value of a document: a map, a list or a scalar; ``line`` and ``column`` from 1.

    ``size`` is the number of values below it when every alias is written out.
    """

    kind: Literal["map", "list", "scalar"]
    line: int
    column: int
    entries: dict[str, Entry] = field(default_factory=dict)
    items: list[Node] = field(default_factory=list)
    value: object = None
    size: int = 1
    height: int = 1

    def plain(self) -> Any:
        """Return the value as Python's dict, list, str, int, float, bool, None."""
        if self.kind == "map":
            return {key: entry.node.plain() for key, entry in self.entries.items()}
        if self.kind == "list":
            return [item.plain() for item in self.items]
        return self.value


@dataclass(frozen=True, slots=True)
class Entry:
    """A key of a map with its place, and the value."""

    line: int
    column: int
    node: Node


class RefusedError(Exception):
    """Stops the reading of one document; carries what to say."""

    def __init__(self, code: str, line: int, column: int, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.code, self.line, self.column = code, line, column
        self.message, self.hint = message, hint


@dataclass(slots=True)
class _Open:
    """A map or list that is being read, and the key that waits for its value."""

    node: Node
    anchor: str | None
    key: tuple[str, int, int] | None = None


class Builder:
    """Builds the tree from the parser's events, without recursion, counting as it goes."""

    def __init__(
        self, text: str, line: int, file: str, problems: list[Problem], budget: int
    ) -> None:
        self.text, self.first, self.file, self.problems = text, line, file, problems
        self.budget = budget
        self.stack: list[_Open] = []
        self.anchors: dict[str, Node] = {}
        self.root: Node | None = None
        self.count = 0

    def build(self) -> Node | None:
        """Return the tree, None when there is nothing; RefusedError when it cannot be read."""
        bad = _UNPRINTABLE.search(self.text)
        if bad:
            line, column = self._place(bad.start())
            name = "NUL" if bad.group() == "\0" else f"U+{ord(bad.group()):04X}"
            hint = "Remove the character; the file may be binary or UTF-16."
            raise RefusedError(ENCODING, line, column, f"character {name} is not allowed", hint)
        try:
            for event in yaml.parse(self.text, Loader=_LOADER):
                self._event(event)
        except yaml.MarkedYAMLError as error:
            raise self._syntax(error) from None
        except yaml.YAMLError as error:
            raise RefusedError(SYNTAX, self.first, 1, _one_line(str(error))) from None
        return self.root

    def _place(self, offset: int) -> tuple[int, int]:
        line = self.text.count("\n", 0, offset)
        return self.first + line, offset - self.text.rfind("\n", 0, offset)

    def _event(self, event: Any) -> None:
        kind = type(event)
        mark = event.start_mark
        if kind is yaml.ScalarEvent:
            self._scalar(event, mark.line + self.first, mark.column + 1)
        elif kind is yaml.MappingStartEvent:
            self._open(Node("map", mark.line + self.first, mark.column + 1), event.anchor)
        elif kind is yaml.SequenceStartEvent:
            self._open(Node("list", mark.line + self.first, mark.column + 1), event.anchor)
        elif kind is yaml.MappingEndEvent or kind is yaml.SequenceEndEvent:
            opened = self.stack.pop()
            if opened.anchor:
                self.anchors[opened.anchor] = opened.node
            self._add(opened.node)
        elif kind is yaml.AliasEvent:
            self._alias(str(event.anchor), mark.line + self.first, mark.column + 1)

    def _open(self, node: Node, anchor: str | None) -> None:
        self._key_is_no_scalar(node.line, node.column)
        self._check_limits(1, 1, node.line, node.column)
        self.stack.append(_Open(node, anchor))
        if anchor:
            self.anchors.pop(anchor, None)

    def _scalar(self, event: Any, line: int, column: int) -> None:
        top = self.stack[-1] if self.stack else None
        if top and top.node.kind == "map" and top.key is None:
            top.key = (event.value, line, column)
            return
        self._check_limits(1, 1, line, column)
        try:
            value = resolve(event.value, event.style, event.tag)
        except BadScalarError as error:
            raise RefusedError(SYNTAX, line, column, str(error)) from None
        node = Node("scalar", line, column, value=value)
        if event.anchor:
            self.anchors[event.anchor] = node
        self._add(node)

    def _alias(self, name: str, line: int, column: int) -> None:
        node = self.anchors.get(name)
        if node is None:
            hint = "Write the value out, or define the anchor before its use."
            message = f"alias *{name} has no finished anchor &{name} above it"
            raise RefusedError(SYNTAX, line, column, message, hint)
        self._key_is_no_scalar(line, column)
        self._check_limits(node.size, node.height, line, column)
        self._add(node)

    def _key_is_no_scalar(self, line: int, column: int) -> None:
        top = self.stack[-1] if self.stack else None
        if top and top.node.kind == "map" and top.key is None:
            message = "a key must be one word, not a map, a list or an alias"
            raise RefusedError(SYNTAX, line, column, message, "Is a `{` or `[` unquoted here?")

    def _check_limits(self, size: int, height: int, line: int, column: int) -> None:
        self.count += size
        if self.count > self.budget:
            message = f"more than {MAX_VALUES} values in a file, once aliases are written out"
            raise RefusedError(LIMIT, line, column, message, "Split the file.")
        if len(self.stack) + height > MAX_DEPTH:
            message = f"nested deeper than {MAX_DEPTH} levels"
            raise RefusedError(LIMIT, line, column, message, "No resource is that deep.")

    def _add(self, node: Node) -> None:
        if not self.stack:
            self.root = node
            return
        top = self.stack[-1]
        top.node.size += node.size
        top.node.height = max(top.node.height, node.height + 1)
        if top.node.kind == "list":
            top.node.items.append(node)
            return
        assert top.key is not None
        key, line, column = top.key
        top.key = None
        if key == "<<":
            self._merge(top.node, node, line, column)
        elif key in top.node.entries and top.node.entries[key].line:
            self._duplicate(key, top.node.entries[key].line, line, column)
        elif len(top.node.entries) == MAX_KEYS:
            message = f"more than {MAX_KEYS} keys in one map"
            raise RefusedError(LIMIT, line, column, message, "No resource has so many.")
        else:
            top.node.entries[key] = Entry(line, column, node)

    def _duplicate(self, key: str, first: int, line: int, column: int) -> None:
        message = f'key "{key[:80]}" already set in map'
        hint = f"It stands in line {first} already; keep one of the two."
        if len(self.problems) == MAX_DUPLICATES:
            raise RefusedError(LIMIT, line, column, "too many keys are there twice", hint)
        place = Position(self.file, line, column)
        self.problems.append(Problem(SYNTAX, Level.ERROR, message, place, read=key[:80], hint=hint))

    def _merge(self, target: Node, value: Node, line: int, column: int) -> None:
        sources = value.items if value.kind == "list" else [value]
        if any(source.kind != "map" for source in sources):
            raise RefusedError(SYNTAX, line, column, "`<<` merges maps, and this is none")
        for source in sources:
            for key, entry in source.entries.items():
                target.entries.setdefault(key, Entry(0, column, entry.node))

    def _syntax(self, error: yaml.MarkedYAMLError) -> RefusedError:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line, mark.column) if mark else (0, 0)
        lines = self.text.split("\n")
        shown = lines[line] if line < len(lines) else ""
        message = _one_line(f"{error.context or ''} {error.problem or ''}")
        return RefusedError(SYNTAX, self.first + line, column + 1, message, _advice(shown, message))


def _advice(shown: str, message: str) -> str:
    """Return the hint that fits the line on which the parser gave up."""
    word = shown.strip()
    if "\t" in shown[: len(shown) - len(shown.lstrip())] or shown.startswith("\t"):
        return "YAML is indented with spaces; replace the tab."
    if "expected '-'" in message or "block end" in message or "block collection" in message:
        return (
            f"`{word[:60]}` is indented as if it belonged to the list above; "
            "give it the indentation of the key it stands beside."
        )
    if "mapping values" in message:
        return "A second `:` in one line, or a line indented too deep: quote the value or fix the indentation."
    if "block mapping" in message:
        return f"`{word[:60]}` does not line up with the keys above it."
    if word[:1] in ("{", "*", "&", "%", "@", "`", "!"):
        return f"Quote a value that starts with `{word[:1]}`."
    return "Look at this line and the one above it: indentation, quotation marks, the `:`."


def _one_line(text: str) -> str:
    return " ".join(text.split())[:200]
