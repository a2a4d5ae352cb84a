"""YAML text -> trees whose every word knows its line and column, under limits.

Kubernetes reads YAML into JSON; so keys are always the words as written (``on:`` stays ``on``),
``yes`` and ``on`` as values are booleans, dates and ``12:30`` are strings
(https://github.com/kubernetes-sigs/yaml, go-yaml v2).  Students' YAML is data that may be hostile:
size, depth, number of documents and what aliases expand to are limited, and a document that
breaks does not hide the next one, because ``---`` at the start of a line always ends a document
(YAML 1.1, 9.1.2: not even a quoted string may hold it).
"""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass

from mesh.istio.problem import LIMIT, Level, Position, Problem
from mesh.istio.tree import (
    ENCODING,
    MAX_DEPTH,
    MAX_VALUES,
    SYNTAX,
    Builder,
    Entry,
    Node,
    RefusedError,
)

__all__ = [
    "ENCODING",
    "LIMIT",
    "MAX_BYTES",
    "MAX_DEPTH",
    "MAX_DOCUMENTS",
    "MAX_VALUES",
    "SYNTAX",
    "Document",
    "Entry",
    "Node",
    "decode",
    "parse",
]

MAX_BYTES = 1_000_000
MAX_DOCUMENTS = 2_000

_START = re.compile(r"^---(?=[ \t\n]|\Z)", re.MULTILINE)
_END = re.compile(r"^\.\.\.[ \t]*(?:#.*)?(?:\n|\Z)", re.MULTILINE)
_NOTHING = re.compile(r"(?:[ \t]*(?:#.*|%.*)?(?:\n|\Z))*")


@dataclass(frozen=True, slots=True)
class Document:
    """One document of a file; ``line`` is where its text starts, ``root`` None when it is broken."""

    index: int
    line: int
    text: str
    root: Node | None
    problems: tuple[Problem, ...]


def decode(data: bytes, file: str) -> tuple[str, list[Problem]]:
    """Return the text of a file; bad UTF-8 is a Problem with its line, and the text is empty."""
    if len(data) > MAX_BYTES:
        return "", [_too_big(file, 1 + data[:MAX_BYTES].count(b"\n"), len(data))]
    try:
        return data.decode("utf-8-sig"), []
    except UnicodeDecodeError as error:
        before = data[: error.start]
        place = Position(file, 1 + before.count(b"\n"), error.start - before.rfind(b"\n"))
        message = f"byte 0x{data[error.start]:02x} is not UTF-8"
        hint = "Save the file as UTF-8; look for letters with accents or pasted quotation marks."
        return "", [Problem(ENCODING, Level.ERROR, message, place, hint=hint)]


def _too_big(file: str, line: int, size: int) -> Problem:
    message = f"{size} bytes are more than the {MAX_BYTES} that a file may have"
    hint = "Split the file; `kubectl get -o yaml` of everything is rarely what you want to apply."
    return Problem(LIMIT, Level.ERROR, message, Position(file, line, 1), hint=hint)


def parse(text: str, file: str) -> tuple[list[Document], list[Problem]]:
    """Split a text into its documents and read each; the problems concern the whole text."""
    text = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    if len(text) > MAX_BYTES:
        return [], [_too_big(file, 1 + text.count("\n", 0, MAX_BYTES), len(text))]
    documents: list[Document] = []
    budget = MAX_VALUES
    for line, part in _split(text):
        if len(documents) == MAX_DOCUMENTS:
            message = f"more than {MAX_DOCUMENTS} documents in one file"
            place = Position(file, line, 1)
            return documents, [Problem(LIMIT, Level.ERROR, message, place, hint="Split the file.")]
        document, used = _read(len(documents), line, part, file, budget)
        documents.append(document)
        budget -= used
        if budget <= 0:
            break
    return documents, []


def _split(text: str) -> list[tuple[int, str]]:
    """Cut at ``---`` and after ``...``; parts of comments and directives only are left out."""
    cuts = {0, *(m.start() for m in _START.finditer(text)), *(m.end() for m in _END.finditer(text))}
    places = [*sorted(cuts), len(text)]
    parts: list[tuple[int, str]] = []
    line = 1
    for start, end in itertools.pairwise(places):
        part = text[start:end]
        content = part.removeprefix("---") if part.startswith("---") else part
        rest = _END.sub("", content)
        if not _NOTHING.fullmatch(rest):
            parts.append((line, part))
        line += part.count("\n")
    return parts


def _read(index: int, line: int, text: str, file: str, budget: int) -> tuple[Document, int]:
    """Read one document of at most ``budget`` values; return it and how many it has."""
    problems: list[Problem] = []
    root: Node | None = None
    builder = Builder(text, line, file, problems, budget)
    try:
        root = builder.build()
    except RefusedError as error:
        place = Position(file, error.line, error.column)
        problems.append(Problem(error.code, Level.ERROR, error.message, place, hint=error.hint))
    return Document(index, line, text, root, tuple(problems)), builder.count
