"""Gradescope's autograder: the zip that is uploaded, and what runs in it.

The harness is a container without Docker: the mesh runs as processes (the local runtime).  Files
are where Gradescope puts them: ``/autograder/submission``, ``/autograder/submission_metadata.json``,
``/autograder/source`` (ours), ``/autograder/results/results.json``.

A run that cannot be judged writes the best earlier result and says so: nobody loses a mark to a
machine.  Labs whose students hand in code are not packed: their code needs the fence of
``docs/run-a-course.md``.
"""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

from grader.course.archive import open_tree
from grader.course.attempt import EXIT_JUDGED, refuse
from grader.course.choose import choose, unfold
from grader.course.intake import needed
from grader.course.store import Attempt, Store, digest
from grader.course.tree import RefusedError
from grader.export.formats import gradescope
from grader.handout import ROOTS
from grader.lab import LabDefinition, LabError, find_lab

ROOT = Path("/autograder")
SECONDS = 480.0
"""What a run may take: Gradescope ends it after ten minutes."""

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


def needs_fence(lab: LabDefinition) -> bool:
    """True when the lab takes code from its students, not only YAML."""
    return any(not name.endswith((".yaml", ".yml")) for name in lab.files)


def write_zip(kit: Path, lab: LabDefinition, target: Path, issued: Path | None) -> int:
    """Write ``autograder.zip``; returns the number of files.  LabError for a lab with code."""
    if needs_fence(lab):
        raise LabError(
            f"Lab {lab.number} takes code; Gradescope's container has no fence for it. "
            "docs/run-a-course.md describes the way with `make grade`."
        )
    count = 0
    target.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in (("setup.sh", SETUP), ("run_autograder", RUN.format(number=lab.number))):
            info = zipfile.ZipInfo(name, (2026, 1, 1, 0, 0, 0))
            info.external_attr = (stat.S_IFREG | 0o755) << 16
            archive.writestr(info, text)
            count += 1
        for path in kit_files(kit, lab):
            archive.write(path, f"kit/{path.relative_to(kit)}")
            count += 1
        for path in sorted(issued.rglob("*.toml")) if issued else ():
            archive.write(path, f"issued/{path.relative_to(issued)}" if issued else "")
            count += 1
    return count


def kit_files(kit: Path, lab: LabDefinition) -> list[Path]:
    """What a run needs: the kit without tests, documents and the other labs."""
    found = []
    for root in ROOTS:
        if root in ("tests", "docs", "notebooks"):
            continue
        base = kit / root
        paths = [base] if base.is_file() else sorted(p for p in base.rglob("*") if p.is_file())
        for path in paths:
            parts = path.relative_to(kit).parts
            if "__pycache__" in parts or path.suffix == ".pyc":
                continue
            if parts[0] == "labs" and kit / parts[0] / parts[1] != lab.folder:
                continue
            found.append(path)
    return found


def run(number: int, root: Path = ROOT, seconds: float = SECONDS) -> int:
    """Judge ``root/submission`` and write ``root/results/results.json``; 0 when it is written."""
    lab = find_lab(number)
    metadata = read_metadata(root / "submission_metadata.json")
    with tempfile.TemporaryDirectory(prefix="gs-") as folder:
        result, why = judge(lab, root, Path(folder), metadata, seconds)
    data = gradescope(result) if result else {}
    if why:
        data = best_earlier(metadata, why)
    results = root / "results"
    results.mkdir(parents=True, exist_ok=True)
    part = results / ".results.json"
    part.write_text(json.dumps(data, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    part.replace(results / "results.json")
    return 0


def read_metadata(path: Path) -> dict[str, Any]:
    """Gradescope's own file; ``{}`` when it is not there."""
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return raw if isinstance(raw, dict) else {}


def judge(
    lab: LabDefinition, root: Path, scratch: Path, metadata: dict[str, Any], seconds: float
) -> tuple[dict[str, Any] | None, str]:
    """The result, or why nothing could be judged."""
    try:
        wanted = needed(lab)
        tree = unfold(open_tree(root / "submission"))
        chosen = choose(tree, wanted, [name for name in lab.files if name not in wanted])
        refused = f"{' and '.join(chosen.missing)} is missing" if chosen.missing else ""
        files = chosen.files
    except RefusedError as problem:
        files, refused = {}, str(problem)
    total = digest(files)
    attempt = Attempt(scratch / "attempt", lab.number, ["student"], total, refused=refused)
    beside = {"parameters.json": drawn} if (drawn := parameters(lab, root, metadata)) else {}
    Store(scratch).add(attempt, files, beside)
    if refused:
        refuse(attempt, lab, refused, engine="mitmproxy", runtime="local")
        return attempt.result(), ""
    log = scratch / "judge.log"
    with log.open("wb") as out:
        child = subprocess.Popen(
            [sys.executable, "-m", "grader.course.attempt", str(attempt.folder)],
            stdin=subprocess.PIPE,
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
        try:
            code = child.wait(seconds)
        except subprocess.TimeoutExpired:
            code = -1
        finally:
            if child.stdin:
                child.stdin.close()
            if child.poll() is None:
                os.killpg(child.pid, 9)
                child.wait()
    print(log.read_text(encoding="utf-8", errors="replace"))  # staff see it
    if code != EXIT_JUDGED or not attempt.done:
        return None, f"the run took more than {seconds:.0f} s" if code == -1 else "the mesh failed"
    result = attempt.result()
    if result["verdict"] == "ungradable":
        return None, "a check could not be judged"
    return result, ""


def parameters(lab: LabDefinition, root: Path, metadata: dict[str, Any]) -> dict[str, Any] | None:
    """The numbers of the student that Gradescope names; None where none were issued."""
    from grader.student import read_student, trusted_key

    issued = root / "source" / "issued"
    for user in metadata.get("users") or ():
        keys = {str(user.get(name) or "") for name in ("sid", "email")}
        for key in sorted(filter(None, keys)):
            path = issued / "students" / key / "student.toml"
            if "/" not in key and path.is_file():
                found = read_student(path, trusted=trusted_key(issued)).set_for(lab)
                return {"values": found.values, "seed": found.seed}
    return None


def best_earlier(metadata: dict[str, Any], why: str) -> dict[str, Any]:
    """The best result that was there before, with a sentence on this run."""
    earlier = [
        each.get("results") or {"score": float(each.get("score") or 0.0)}
        for each in metadata.get("previous_submissions") or ()
        if isinstance(each, dict)
    ]
    said = f"This submission could not be judged ({why}); that is not your fault. "
    if not earlier:
        return {
            "score": 0,
            "output": f"{said}Hand it in again: there is no earlier score to keep.",
            "visibility": "visible",
        }
    best = max(earlier, key=lambda each: float(each.get("score") or 0.0))
    output = f"{said}Your best earlier score, {best.get('score')}, stays.\n{best.get('output', '')}"
    return {**best, "output": output.strip()}
