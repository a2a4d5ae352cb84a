"""All variants of a lab's solution: written by hand (``mutants.yaml``) and generated.

``mutants.yaml`` may say of a generated one that it changes nothing in this lab:

    equivalent:
      "balancers: RANDOM ...": one pod a subset, so every balancer does the same

It is then one more right answer, which must pass.  And of one that changes nothing elsewhere, that it
does so here, and has to be caught:

    different:
      "renamed: ...": the mesh has a rule of that name already, which stays in force

A generated variant that is the same as one written by hand, or as the solution, is left out.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from grader.lab import LabDefinition
from grader.mutants import load_mutants
from grader.proof.operators import generate
from mesh.istio.written import dump_all, read_all

REFUSED = "does-not-load"
"""In place of a check's name: the files are refused before anything runs."""


@dataclass(frozen=True, slots=True)
class Variant:
    """One answer whose verdict is known; ``lose`` None: any check will do.

    ``kind`` is wrong, right, generated or equivalent; right and equivalent ones must pass.
    """

    name: str
    kind: str
    why: str
    files: dict[str, str]
    lose: frozenset[str] | None = frozenset()
    may_lose: frozenset[str] = frozenset()

    @property
    def right(self) -> bool:
        """True for an answer that must get full marks."""
        return self.kind in ("right", "equivalent")

    def caught(self, failed: set[str]) -> bool:
        """True when the checks said what they should."""
        if self.lose is None:
            return bool(failed)
        return self.lose <= failed <= self.lose | self.may_lose


def variants(lab: LabDefinition, scratch: Path, *, generated: bool = True) -> list[Variant]:
    """The solution first, then right and wrong ones by hand, then the generated ones."""
    solution = {name: (lab.solution / name).read_text(encoding="utf-8") for name in lab.files}
    found = [Variant("solution", "right", "the kit's own answer", solution)]
    for item in load_mutants(lab):
        folder = item.write(lab, scratch / f"{lab.slug}-{item.name}")
        files = {name: (folder / name).read_text(encoding="utf-8") for name in lab.files}
        kind = "right" if item.right else "wrong"
        lose = frozenset({REFUSED}) if item.refused else item.lose
        found.append(Variant(item.name, kind, item.why, files, lose, item.may_lose))
    if not generated:
        return found
    raw = yaml.safe_load((lab.folder / "mutants.yaml").read_text(encoding="utf-8"))
    same: dict[str, str] = raw.get("equivalent") or {}
    different: dict[str, str] = raw.get("different") or {}
    seen = {canonical(each.files) for each in found}
    for name in lab.manifests:
        documents = read_all(solution[name])
        for made in generate(documents):
            files = {**solution, name: dump_all(made.documents)}
            form = canonical(files)
            if form in seen and not made.equivalent:
                continue
            seen.add(form)
            right = made.name in same or (made.equivalent and made.name not in different)
            found.append(
                Variant(
                    made.name,
                    "equivalent" if right else "generated",
                    {**same, **different}.get(made.name, made.concept),
                    files,
                    frozenset() if right else None,
                )
            )
    return found


def canonical(files: dict[str, str]) -> str:
    """The files as data: comments, order of keys and layout do not matter."""
    plain: dict[str, Any] = {}
    for name, text in files.items():
        try:
            plain[name] = [each for each in yaml.safe_load_all(text) if each]
        except yaml.YAMLError:
            plain[name] = text
    return json.dumps(plain, sort_keys=True, default=str)
