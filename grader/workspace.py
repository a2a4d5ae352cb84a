"""The student's folder: made from the starter the first time, never overwritten.

``work/lab-NN/`` below the current folder, unless ``--work`` names another or ``--solution`` asks
for the kit's own answer.
"""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from grader.lab import ANSWERS, LabDefinition


@dataclass(frozen=True, slots=True)
class Workspace:
    """A folder whose files are judged.

    ``created`` says that this run made it, ``untouched`` that its files are still the starter's,
    ``own`` that it is the student's ``work/lab-NN``, where the kit may write the task.
    """

    folder: Path
    created: bool
    untouched: bool
    own: bool = False

    def files(self, lab: LabDefinition) -> list[Path]:
        """The files handed in, in ``lab.yaml``'s order; some may not exist."""
        return [self.folder / name for name in lab.files]

    def manifests(self, lab: LabDefinition) -> list[Path]:
        """The files that go into the mesh."""
        return [self.folder / name for name in lab.manifests]

    @property
    def shown(self) -> str:
        """The folder as a student would type it."""
        try:
            return str(self.folder.relative_to(Path.cwd()))
        except ValueError:
            return str(self.folder)


def open_workspace(
    lab: LabDefinition, *, work: Path | None, solution: Path | None = None
) -> Workspace:
    """Find or make the folder; ``solution`` is the kit's own; OSError when it cannot be written."""
    if solution is not None:
        return Workspace(solution, False, False)
    folder = work if work is not None else Path.cwd() / "work" / lab.slug
    created = False
    if work is None and not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(lab.start, folder)
        created = True
    return Workspace(folder, created, _same(lab, folder), own=work is None)


def reset(lab: LabDefinition) -> tuple[Path, Path | None]:
    """Restore the starter in ``work/lab-NN``; returns it and where the old files went."""
    folder = Path.cwd() / "work" / lab.slug
    aside: Path | None = None
    if folder.exists():
        stamp = time.strftime("%Y%m%dT%H%M%S")
        aside = folder.with_name(f"{folder.name}.old-{stamp}")
        number = 1
        while aside.exists():
            aside = folder.with_name(f"{folder.name}.old-{stamp}-{number}")
            number += 1
        folder.rename(aside)
    folder.parent.mkdir(parents=True, exist_ok=True)
    shutil.copytree(lab.start, folder)
    return folder, aside


def _same(lab: LabDefinition, folder: Path) -> bool:
    for name in set(lab.files) - {ANSWERS}:
        try:
            if (folder / name).read_bytes() != (lab.start / name).read_bytes():
                return False
        except OSError:
            return False
    return True


def missing(lab: LabDefinition, space: Workspace) -> list[str]:
    """A sentence for each file handed in that is not there."""
    return [
        f"{space.shown}/{path.name} is missing; this lab hands in {' and '.join(lab.files)}. "
        f"`make reset-{lab.number}` restores the starter and keeps your files aside."
        for path in space.files(lab)
        if path.name != ANSWERS and not path.is_file()
    ]
