"""``make handout``: the students' tree, without what only staff may see.

Left out are solutions, mutants, the judges of the answers, ``staff.py``, the kit's tests of labs
and grader, and whatever the copy has beside the kit (``work``, ``runs``, courses).  A diagnosis is
sealed.  ``course-key.toml`` of the course goes in, so that every copy can check a ``student.toml``.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

from grader.diagnosis import FILE as DIAGNOSIS
from grader.diagnosis import SEALED, seal
from grader.lab import LabError
from grader.student import COURSE_FILE

ROOTS = (
    ".dockerignore",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "LICENSE",
    "Makefile",
    "NOTICE",
    "README.md",
    "compose",
    "docs",
    "grader",
    "labs",
    "mesh",
    "pyproject.toml",
    "requirements",
    "scripts",
    "services",
    "tests",
)
"""What belongs to the kit; the rest of the folder is somebody's work."""

STAFF_FILES = {"mutants.yaml", "answers.py", "staff.py"}
STAFF_FOLDERS = {"solution", "__pycache__"}
STAFF_TESTS = {"labs", "grader", "docs"}


def handed_out(kit: Path, *, judges: bool = False) -> Iterator[Path]:
    """The files of a handout, relative to ``kit``; ``judges`` keeps the judges of the answers."""
    for root in ROOTS:
        top = kit / root
        paths = [top] if top.is_file() else sorted(top.rglob("*"))
        for path in paths:
            relative = path.relative_to(kit)
            if path.is_file() and not _staff_only(relative, judges):
                yield relative


def _staff_only(path: Path, judges: bool) -> bool:
    parts = path.parts
    if path.suffix == ".pyc" or "__pycache__" in parts:
        return True
    if parts[0] == "tests":
        return len(parts) > 2 and parts[1] in STAFF_TESTS
    if parts[0] != "labs":
        return False
    if judges and path.name == "answers.py":
        return False
    return path.name in STAFF_FILES or bool(STAFF_FOLDERS & set(parts))


def write_handout(kit: Path, into: Path, course: Path | None, *, judges: bool = False) -> int:
    """Write the tree into ``into``, which must not exist; returns how many files it has."""
    if into.exists():
        raise LabError(f"{into} exists: remove it first, or name another folder with OUT=.")
    if course is not None and not (course / COURSE_FILE).is_file():
        raise LabError(f"{course / COURSE_FILE} is not there: run `grade issue {course}` first.")
    count = 0
    for relative in handed_out(kit, judges=judges):
        target = into / relative
        target.parent.mkdir(parents=True, exist_ok=True)
        if relative.name == DIAGNOSIS and relative.parts[0] == "labs":
            text = (kit / relative).read_text(encoding="utf-8")
            target.with_name(SEALED).write_bytes(seal(text))
        else:
            shutil.copy2(kit / relative, target)
        count += 1
    if course is not None:
        shutil.copy2(course / COURSE_FILE, into / COURSE_FILE)
        count += 1
    return count
