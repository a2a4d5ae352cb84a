"""``make progress``: what was run so far, lab by lab."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from grader.hints import load_hints, opened
from grader.lab import LabDefinition


@dataclass(frozen=True, slots=True)
class Standing:
    """One lab: runs that could be judged, the best and the last score, answers, hints opened."""

    lab: LabDefinition
    runs: int
    best: str
    last: str
    answers: str
    hints: str

    @property
    def cells(self) -> tuple[str, ...]:
        """The row of the table."""
        lab = f"{self.lab.number} {self.lab.title}"
        return (lab, str(self.runs), self.best, self.last, self.answers, self.hints)


HEAD = ("lab", "runs", "best", "last", "answers", "hints")


def standing(lab: LabDefinition, here: Path) -> Standing:
    """What ``here/runs`` and ``here/work`` tell of ``lab``; damaged results are left out."""
    paths = sorted((here / "runs" / lab.slug).glob("*/result.json"))
    results = [item for path in paths if not path.parent.is_symlink() and (item := _read(path))]
    hints = f"{opened(here / 'work' / lab.slug)}/{len(load_hints(lab))}"
    if not results:
        return Standing(lab, 0, "-", "-", "-", hints)
    best = max(results, key=lambda item: (item["score"], item.get("answers_score", 0)))
    last = results[-1]
    answers = f"{best.get('answers_score', 0)}/{best.get('answers_max', 0)}"
    return Standing(lab, len(results), _score(best), _score(last), answers, hints)


def _score(result: dict[str, Any]) -> str:
    return f"{result['score']}/{result['max_score']}"


def _read(path: Path) -> dict[str, Any] | None:
    """A result that was judged, or None."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        complete = found["verdict"] in ("pass", "fail") and found["score"] <= found["max_score"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return found if complete else None
