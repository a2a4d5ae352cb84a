"""Gradescope's ``autograder.zip``: what is uploaded for one lab, and nothing beside it.

Submissions are judged in the container that this zip becomes, so it holds only what judging needs:
the kit's code, the files of the lab that ask and judge, and each student's numbers for this lab.
Solutions, mutants, other labs, names, and keys stay with the staff.  What belongs in is listed, so a
file that a lab's author adds stays out until it is.

Labs whose students hand in code are not packed: their code needs the fence of
``docs/run-a-course.md``.
"""

from __future__ import annotations

import json
import stat
import zipfile
from pathlib import Path
from typing import Any

from grader.course.roster import CourseError, read_table
from grader.fence.hand_in import has_code
from grader.issue import ROSTER
from grader.lab import LabDefinition, LabError
from grader.student import FILE, read_student, trusted_key

NUMBERS = "numbers.json"
"""Beside ``kit`` in the zip: by student id, or another name of theirs, the numbers of the lab."""

SETUP = """\
#!/bin/sh
# Gradescope builds the image with this: Python 3.12 or newer, then the kit's own set-up.
set -e
cd /autograder/source
if ! sh kit/scripts/bootstrap.sh --find >/dev/null 2>&1; then
    apt-get update -qq
    apt-get install -y -qq python3 python3-venv python3-pip
fi
if ! sh kit/scripts/bootstrap.sh --find >/dev/null 2>&1; then
    python3 -m pip install -q uv || python3 -m pip install -q --break-system-packages uv
    UV_PYTHON_INSTALL_DIR=/opt/python uv python install 3.12
    UV_PYTHON_INSTALL_DIR=/opt/python sh kit/scripts/bootstrap.sh core
else
    sh kit/scripts/bootstrap.sh core
fi
kit/.venv/bin/python -m compileall -q kit/grader kit/mesh kit/services
"""

RUN = """\
#!/bin/sh
# Gradescope starts this for each submission, in /autograder.
here=${{AUTOGRADER_ROOT:-/autograder}}
export MESH_LAB_HOME="${{TMPDIR:-/tmp}}/mesh"
exec "$here/source/kit/.venv/bin/grade" gradescope {number} --root "$here"
"""

KIT = (
    "LICENSE",
    "NOTICE",
    "grader",
    "mesh",
    "requirements/core.txt",
    "scripts/bootstrap.sh",
    "services",
)
LEFT_OUT = (
    "grader/feedback",
    "grader/proof",
    "mesh/bench",
    "mesh/conformance",
    "mesh/console",
    "mesh/notebook",
    "mesh/workbench",
)
"""Packages that no judging imports."""

LAB = (
    "*.py",  # checks, hidden checks, judges of the answers, load
    "answers.yaml",
    "diagnosis.yaml",
    "lab.yaml",
    "start",  # lab 9's checks read it; students have it
    "tokens",
)


def write_zip(kit: Path, lab: LabDefinition, target: Path, issued: Path | None) -> int:
    """Write ``autograder.zip``; returns the number of files.  LabError for a lab with code."""
    if has_code(lab):
        raise LabError(
            f"Lab {lab.number} takes code; Gradescope's container has no fence for it. "
            "docs/run-a-course.md describes the way with `make grade`."
        )
    files = kit_files(kit, lab)
    texts = {"setup.sh": SETUP, "run_autograder": RUN.format(number=lab.number)}
    if issued is not None:
        texts[NUMBERS] = json.dumps(numbers(lab, issued), indent=1, ensure_ascii=False) + "\n"
    target.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in texts.items():
            info = zipfile.ZipInfo(name, (2026, 1, 1, 0, 0, 0))
            info.external_attr = (stat.S_IFREG | (0o600 if name == NUMBERS else 0o755)) << 16
            archive.writestr(info, text)
        for path in files:
            archive.write(path, f"kit/{path.relative_to(kit)}")
    return len(texts) + len(files)


def kit_files(kit: Path, lab: LabDefinition) -> list[Path]:
    """What a run of ``lab`` needs of the kit."""
    found: list[Path] = []
    asked = [path for name in LAB for path in sorted(lab.folder.glob(name))]
    for top in (*(kit / name for name in KIT), *asked):
        paths = sorted(top.rglob("*")) if top.is_dir() else [top]
        found += [path for path in paths if path.is_file() and not _left_out(kit, path)]
    return found


def _left_out(kit: Path, path: Path) -> bool:
    if path.suffix == ".pyc":
        return True
    return any(path.is_relative_to(kit / name) for name in LEFT_OUT)


def numbers(lab: LabDefinition, issued: Path) -> dict[str, Any]:
    """Each student's numbers in ``lab``, as ``grade issue`` signed them; LabError when one does not fit.

    A student is found by id, and by e-mail address, SIS id and login where the roster has them.
    """
    owners = _owners(issued)
    trusted = trusted_key(issued)
    found: dict[str, Any] = {}
    for student in dict.fromkeys(owners.values()):
        path = issued / "students" / student / FILE
        if not path.is_file():
            raise LabError(f"{path} is not there: `grade issue {issued}` makes it.")
        chosen = read_student(path, trusted=trusted).set_for(lab)
        found[student] = {"values": chosen.values, "seed": chosen.seed}
    return {key: found[student] for key, student in owners.items()}


def _owners(issued: Path) -> dict[str, str]:
    """The student behind every word that Gradescope may call one by, in lower case."""
    owners: dict[str, str] = {}
    for line, row in read_table(issued / ROSTER, required=()):
        student = row.get("student") or row.get("id") or ""
        words = {student, *(row.get(name) or "" for name in ("email", "sid", "login"))}
        for key in sorted({word.casefold() for word in words if student and word}):
            if owners.setdefault(key, student) != student:
                raise CourseError(
                    f"{issued / ROSTER}:{line}: {key!r} means {owners[key]} and {student}: "
                    "Gradescope's students could not be told apart."
                )
    return owners
