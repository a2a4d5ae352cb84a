"""Mutants: wrong answers that a lab's checks must catch, right variants that they must not.

``labs/NN-name/mutants.yaml`` describes each as edits of the solution.  A grader is a classifier;
this is how its own errors are counted.

    wrong:
      - name: eighty-twenty
        why: twice the share
        edits: [[virtual-service.yaml, "weight: 90", "weight: 80"], ...]   # first occurrence
        lose: [share-is-right]       # these checks must fail, all others must pass
        may_lose: []                 # except these, where the truth lies between
      - name: weight-inside-destination
        refused: true                # instead of lose: the files do not load
    right:
      - name: full-names ...
    personal:                        # edits that fit the solution to anybody's parameters
      - [virtual-service.yaml, "weight: 90", "weight: {rest}"]
    starter: 4                       # points of the untouched starter

A mutant may edit ``answers.yaml`` as well; ``lose`` then names the answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from grader.lab import LabDefinition, LabError


@dataclass(frozen=True, slots=True)
class Mutant:
    """One variant of the solution; a right one has an empty ``lose`` and is not ``refused``."""

    name: str
    why: str
    edits: tuple[tuple[str, str, str], ...]
    lose: frozenset[str]
    may_lose: frozenset[str]
    refused: bool = False

    def write(self, lab: LabDefinition, folder: Path) -> Path:
        """Write the files handed in, edited, into ``folder``; LabError when an edit finds nothing."""
        return _write(lab, folder, self.edits, f"Mutant {self.name}")

    @property
    def right(self) -> bool:
        """A right answer, written differently."""
        return not self.lose and not self.refused

    def caught(self, failed: set[str]) -> bool:
        """True when exactly the right checks failed."""
        return self.lose <= failed <= self.lose | self.may_lose


def load_mutants(lab: LabDefinition) -> tuple[Mutant, ...]:
    """The wrong and the right variants of ``lab``, wrong ones first."""
    raw = yaml.safe_load((lab.folder / "mutants.yaml").read_text(encoding="utf-8"))
    return tuple(_mutant(item) for item in [*raw["wrong"], *raw["right"]])


def starter_points(lab: LabDefinition) -> int:
    """The points that the untouched starter gets."""
    raw = yaml.safe_load((lab.folder / "mutants.yaml").read_text(encoding="utf-8"))
    return int(raw["starter"])


def write_solution(lab: LabDefinition, folder: Path) -> Path:
    """Write the solution for the parameters that ``lab`` has, whoever's they are."""
    raw = yaml.safe_load((lab.folder / "mutants.yaml").read_text(encoding="utf-8"))
    edits = [(file, old, lab.fill(new)) for file, old, new in raw.get("personal", ())]
    return _write(lab, folder, edits if lab.set.student else (), "The solution")


def _write(
    lab: LabDefinition, folder: Path, edits: Sequence[tuple[str, str, str]], who: str
) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    texts = {name: (lab.solution / name).read_text(encoding="utf-8") for name in lab.files}
    for file, old, new in edits:
        if old not in texts.get(file, ""):
            raise LabError(f"{who} looks for {old!r} in {file}, in vain.")
        texts[file] = texts[file].replace(old, new, 1)
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    return folder


def _mutant(raw: dict[str, Any]) -> Mutant:
    return Mutant(
        name=raw["name"],
        why=raw["why"],
        edits=tuple((file, old, new) for file, old, new in raw["edits"]),
        lose=frozenset(raw.get("lose", ())),
        may_lose=frozenset(raw.get("may_lose", ())),
        refused=bool(raw.get("refused", False)),
    )
