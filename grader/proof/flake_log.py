"""What ``make prove-flake`` has tried so far, a line of JSON a run: a killed term goes on from it.

    log = FlakeLog(folder / "lab-03-envoy.jsonl", digest_of(lab))
    log.runs                       # those of this very kit
    log.add(Run("quiet", "solution", [], [], 11.2))

The first line says which kit was tried, as a digest of its code and of the lab's folder.  Runs of
another kit prove nothing about this one, so the count of that lab begins anew when it has changed;
they are kept beside it, as ``.before``.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path

from grader.lab import LabDefinition
from mesh.state import write_atomic

KIT = Path(__file__).resolve().parents[2]
CODE = ("grader", "mesh", "services")


@dataclass(frozen=True, slots=True)
class Run:
    """One right answer judged: what it lost and what could not be judged, by name, and why."""

    load: str
    variant: str
    failed: list[str]
    ungradable: list[str]
    seconds: float
    why: dict[str, str] = field(default_factory=dict)


def digest_of(lab: LabDefinition, kit: Path = KIT) -> str:
    """16 letters that stand for the kit's code and the lab's folder."""
    total = hashlib.sha256()
    for top in (*(kit / name for name in CODE), lab.folder):
        for path in sorted(top.rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                total.update(f"{path.relative_to(top)}\0".encode() + path.read_bytes())
    return total.hexdigest()[:16]


class FlakeLog:
    """The runs of one lab on one engine, on disk after each."""

    def __init__(self, path: Path, digest: str) -> None:
        self.path = path
        self.runs: list[Run] = []
        self._head = head = json.dumps({"kit": digest})
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        if lines and lines[0] != head:
            path.replace(path.with_suffix(".before"))
            lines = []
        for line in lines[1:]:
            try:
                self.runs.append(Run(**json.loads(line)))
            except ValueError:
                break  # a machine that lost its power in the middle of a line
        path.parent.mkdir(parents=True, exist_ok=True)
        self._write()

    def _write(self) -> None:
        kept = [self._head, *(json.dumps(asdict(each)) for each in self.runs)]
        write_atomic(self.path, "\n".join(kept) + "\n")

    def forget(self) -> None:
        """Begin anew."""
        self.runs = []
        self._write()

    def of(self, load: str) -> list[Run]:
        """The runs under one load."""
        return [each for each in self.runs if each.load == load]

    def add(self, run: Run) -> None:
        """Take a run up, and be sure that it is on disk."""
        self.runs.append(run)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(run)) + "\n")
            file.flush()
            os.fsync(file.fileno())
