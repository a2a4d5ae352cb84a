"""Draft: a YAML text under repair, as lines that remember where they stood in the student's file.

Repairs are edits of lines, not a rewrite by a YAML library, so comments, quotes, order and layout
of everything else stay as they are and the diff shows only what was wrong.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from mesh.istio.document import Document, Entry, Node, parse
from mesh.istio.eras import Era
from mesh.istio.problem import Position

_KEY = re.compile(r"""["']?([A-Za-z_][\w./-]*)["']?:(?=\s|$)""")
_ALIAS = re.compile(r"(?:^|[\s\[{,])[&*][A-Za-z0-9_]")


@dataclass(frozen=True, slots=True)
class Line:
    """One line without its end; ``origin`` is its number in the file as read, from 1."""

    text: str
    origin: int

    @property
    def indent(self) -> int:
        """Number of spaces at the start."""
        return len(self.text) - len(self.text.lstrip(" "))

    @property
    def blank(self) -> bool:
        """True for empty lines and comments: they belong to no value."""
        stripped = self.text.strip()
        return not stripped or stripped.startswith("#")

    @property
    def key(self) -> str:
        """The key the line starts with (after any ``- ``), empty when there is none."""
        found = _KEY.match(self.text.lstrip(" -"))
        return found.group(1) if found else ""


@dataclass(frozen=True, slots=True)
class Edit:
    """What one rule does in one step: the new lines, and how to tell it."""

    reason: str
    line: int
    """Line of the file as the student wrote it."""
    before: str
    after: str
    lines: tuple[Line, ...]


@dataclass(frozen=True, eq=False)
class Draft:
    """The text between two edits; rules read it and return an Edit or None."""

    file: str
    era: Era
    lines: tuple[Line, ...]

    @classmethod
    def of(cls, text: str, file: str, era: Era) -> Draft:
        """Split a text into lines."""
        return cls(file, era, tuple(Line(each, n) for n, each in enumerate(text.split("\n"), 1)))

    @cached_property
    def text(self) -> str:
        """The lines joined again."""
        return "\n".join(line.text for line in self.lines)

    @cached_property
    def documents(self) -> list[Document]:
        """The documents of the text; ``root`` is None in those that are broken."""
        return parse(self.text, self.file)[0]

    @cached_property
    def plain_documents(self) -> list[tuple[Document, Node]]:
        """Documents that can be read and use no anchors, so that a line belongs to one place."""
        return [
            (each, each.root)
            for each in self.documents
            if each.root is not None and not each.problems and not _ALIAS.search(each.text)
        ]

    def span(self, document: Document) -> tuple[int, int]:
        """Return the lines of a document: first index, index after the last."""
        start = document.line - 1
        return start, min(len(self.lines), start + document.text.rstrip("\n").count("\n") + 1)

    def position(self, index: int) -> Position:
        """Return where a line stood in the file as read."""
        return Position(self.file, self.lines[index].origin if self.lines else 1, 1)

    def block_end(self, index: int, column: int) -> int:
        """Return the index after the entry whose key stands at line ``index``, column from 1.

        Blank lines and comments behind the entry do not belong to it.
        """
        indent = column - 1
        end = probe = index + 1
        while probe < len(self.lines):
            line = self.lines[probe]
            if line.text.startswith(("---", "...")):
                break
            if not line.blank:
                own_list = line.indent == indent and line.text[indent : indent + 2] in ("- ", "-")
                dash = self.lines[index].text[indent : indent + 1] == "-"
                if line.indent <= indent and not (own_list and not dash):
                    break
                end = probe + 1
            probe += 1
        return end

    def in_block_style(self, name: str, entry: Entry) -> bool:
        """True when nothing but spaces and dashes stands before the key in its line."""
        if not 1 <= entry.line <= len(self.lines):
            return False
        text = self.lines[entry.line - 1].text
        before, rest = text[: entry.column - 1], text[entry.column - 1 :]
        return not before.strip(" -") and bool(
            re.match(rf"[\"']?{re.escape(name)}[\"']?\s*:", rest)
        )

    def replace(self, start: int, end: int, texts: Sequence[str | Line], reason: str) -> Edit:
        """Return the edit that puts ``texts`` in place of the lines ``start`` to ``end``."""
        here = min(start, len(self.lines) - 1)
        origin = self.lines[here].origin
        new = [each if isinstance(each, Line) else Line(each, origin) for each in texts]
        if len(new) == end - start:
            old = self.lines[start:end]
            new = [Line(each.text, was.origin) for each, was in zip(new, old, strict=True)]
        before = "\n".join(line.text for line in self.lines[start:end])
        after = "\n".join(line.text for line in new)
        lines = (*self.lines[:start], *new, *self.lines[end:])
        return Edit(reason, origin, before, after, lines)

    def move(
        self,
        entry: Entry,
        targets: Sequence[tuple[int, int]],
        reason: str,
        head: Sequence[str] = (),
    ) -> Edit | None:
        """Move an entry behind other lines, with another indentation.

        ``targets``: (index before which it goes, indentation), several for copies; ``head`` are
        lines that open a new place for it, already indented.  None when the entry cannot be cut.
        """
        start, column = entry.line - 1, entry.column
        end = self.block_end(start, column)
        prefix = self.lines[start].text[: column - 1]
        block = [Line(self.lines[start].text[column - 1 :], self.lines[start].origin)]
        for line in self.lines[start + 1 : end]:
            cut = min(line.indent, column - 1)
            block.append(Line(line.text[cut:], line.origin))
        rest = list(self.lines)
        if "-" in prefix:
            after = end
            while after < len(rest) and rest[after].blank:
                after += 1
            if after >= len(rest) or rest[after].indent != column - 1 or not rest[after].key:
                return None
            rest[after] = Line(prefix + rest[after].text[column - 1 :], rest[after].origin)
        moved: list[Line] = []
        for index, indent in sorted(targets, reverse=True):
            moved = [Line(each, block[0].origin) for each in head] + [
                Line(" " * indent + line.text if line.text.strip() else "", line.origin)
                for line in block
            ]
            if start < index < end:
                return None
            rest[index:index] = moved
            if index <= start:
                start, end = start + len(moved), end + len(moved)
        del rest[start:end]
        before = "\n".join(
            line.text
            for line in self.lines[entry.line - 1 : self.block_end(entry.line - 1, column)]
        )
        after_text = "\n".join(line.text for line in moved)
        return Edit(reason, block[0].origin, before, after_text, tuple(rest))


def scalar(node: Node | None) -> str:
    """Return a word, empty for anything else."""
    return node.value if node is not None and isinstance(node.value, str) else ""


def child(node: Node | None, *names: str) -> Node | None:
    """Walk down the keys of maps."""
    for name in names:
        if node is None or node.kind != "map" or name not in node.entries:
            return None
        node = node.entries[name].node
    return node
