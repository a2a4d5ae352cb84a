"""``make hint-N``: hints open one at a time; how many is remembered in ``work/lab-NN/.hints``.

``labs/NN-name/hints.md`` has one hint under each ``## `` heading, from where to look to nearly the
solution.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from grader.lab import LabDefinition

FILE = "hints.md"
OPENED = ".hints"


@dataclass(frozen=True, slots=True)
class Hint:
    """One hint: its heading and its text."""

    title: str
    text: str


def load_hints(lab: LabDefinition) -> tuple[Hint, ...]:
    """All hints of ``lab`` in their order."""
    path = lab.folder / FILE
    if not path.exists():
        return ()
    parts = re.split(r"^## +(.+)$", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    pairs = zip(parts[1::2], parts[2::2], strict=True)
    return tuple(Hint(title.strip(), lab.fill(text.strip())) for title, text in pairs)


def opened(folder: Path) -> int:
    """How many hints were opened in the student's ``folder``; 0 when nothing tells."""
    try:
        return max(int((folder / OPENED).read_text(encoding="ascii").strip()), 0)
    except (OSError, ValueError):
        return 0


def open_next(lab: LabDefinition, folder: Path) -> tuple[tuple[Hint, ...], int]:
    """Open one more hint; returns all that are open now and how many there are."""
    hints = load_hints(lab)
    count = min(opened(folder) + 1, len(hints))
    (folder / OPENED).write_text(f"{count}\n", encoding="ascii")
    return hints[:count], len(hints)
