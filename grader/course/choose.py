"""From a stranger's tree to the files that a lab lists; nothing else of it is ever read.

Students pack the folder instead of the files, pack twice, add what their system adds
(``__MACOSX``, ``._x``, ``.DS_Store``), and platforms rename (Canvas appends ``-1`` to a file that
was handed in again).  All that is put right here; what cannot be decided is said.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from grader.course.archive import open_bytes
from grader.course.tree import SUBMISSION, Entry, Limits, RefusedError, Tree, shown

JUNK = {"__MACOSX", ".DS_Store", "Thumbs.db", "desktop.ini", ".git", "node_modules", ".idea"}
DEPTH = 2
"""How many archives may lie in one another."""

ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".rar", ".7z", ".gz", ".bz2", ".xz")

_AGAIN = re.compile(r"-\d+(?=\.[A-Za-z]+$)")


@dataclass(slots=True)
class Chosen:
    """The files handed in, by the lab's names; ``missing`` are listed but not there.

    ``notes`` says what was left out or put right, for the student and the assistant.
    """

    files: dict[str, bytes] = field(default_factory=dict)
    missing: tuple[str, ...] = ()
    notes: list[str] = field(default_factory=list)


def is_junk(path: str) -> bool:
    """True for what an operating system or a tool added."""
    parts = path.split("/")
    return any(part in JUNK for part in parts) or parts[-1].startswith("._")


def unfold(tree: Tree, limits: Limits = SUBMISSION) -> Tree:
    """Put the files of archives that lie in ``tree`` beside the others, junk left out.

    All archives together may cost ``limits.unpacked``; what lies beyond is left out and noted.
    """
    return _unfold(tree, limits, DEPTH, [limits.unpacked])


def _unfold(tree: Tree, limits: Limits, depth: int, left: list[int]) -> Tree:
    result = Tree(notes=list(tree.notes))
    for entry in tree.entries:
        if is_junk(entry.path):
            continue
        if not entry.path.lower().endswith(ARCHIVES):
            result.entries.append(entry)
            continue
        if depth == 0:
            result.note(f"{shown(entry.path)} is packed too deep and was left out")
            continue
        if entry.size > limits.archive:
            result.note(f"{shown(entry.path)} is larger than {limits.archive >> 20} MB")
            continue
        try:
            data = entry.read(min(limits.archive, max(left[0], 0)))
            left[0] -= len(data)
            inner = open_bytes(data, limits)
            if inner is None:
                result.note(f"{shown(entry.path)} is no archive")
                continue
            deeper = _unfold(inner, limits, depth - 1, left)
        except RefusedError as refusal:
            result.note(f"{shown(entry.path)}: {refusal}")
            continue
        for note in deeper.notes:
            result.note(note)
        room = limits.entries - len(result.entries)
        result.entries += [
            Entry(f"{entry.path}/{each.path}", each.size, each.read)
            for each in deeper.entries[:room]
        ]
    return result


def choose(
    tree: Tree, wanted: Sequence[str], optional: Iterable[str] = (), limits: Limits = SUBMISSION
) -> Chosen:
    """Read the files named ``wanted`` (and those ``optional``) from the best folder of ``tree``.

    RefusedError when two folders could be meant, or a file is too large or damaged.
    """
    names = [*wanted, *optional]
    folders: dict[str, dict[str, Entry]] = {}
    for entry in tree.entries:
        folder, _, last = entry.path.rpartition("/")
        for name in names:
            if _rank(last, name):
                held = folders.setdefault(folder, {})
                if name not in held or _rank(last, name) > _rank(held[name].name, name):
                    held[name] = entry
    found = {
        folder: sum(name in held for name in wanted)
        for folder, held in folders.items()
        if any(name in held for name in wanted)
    }
    if not found:
        return Chosen(missing=tuple(wanted), notes=list(tree.notes))
    best = max(found.values())
    equal = [folder for folder, count in found.items() if count == best]
    depth = min(folder.count("/") + bool(folder) for folder in equal)
    shallow = [folder for folder in equal if folder.count("/") + bool(folder) == depth]
    if len(shallow) > 1:
        both = " and ".join(shown(folder) or "." for folder in sorted(shallow)[:2])
        raise RefusedError(f"two folders hold the files, {both}: one of them must go")
    held = folders[shallow[0]]
    chosen = Chosen(notes=list(tree.notes))
    for name in names:
        if name in held:
            chosen.files[name] = held[name].read(limits.file)
            if held[name].name != name:
                chosen.notes.append(f"{shown(held[name].name)} was taken for {name}")
    chosen.missing = tuple(name for name in wanted if name not in held)
    return chosen


def _rank(found: str, name: str) -> int:
    """How well a file's name fits a listed one: 3 exact, 2 but for case or .yml, 1 numbered, 0."""
    if found == name:
        return 3
    if _plain(found) == _plain(name):
        return 2
    return int(_plain(_AGAIN.sub("", found)) == _plain(name))


def _plain(name: str) -> str:
    lower = name.lower()
    return f"{lower[:-4]}.yaml" if lower.endswith(".yml") else lower
