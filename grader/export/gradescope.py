"""A run in Gradescope's container: from its folders to ``results.json``.

The container is without Docker: the mesh runs as processes (the local runtime).  Files are where
Gradescope puts them: ``/autograder/submission``, ``/autograder/submission_metadata.json``,
``/autograder/source`` (``autograder_zip.py`` made it), ``/autograder/results/results.json``.

A run that cannot be judged writes the best earlier result and says so: nobody loses a mark to a
machine.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from grader.course.archive import open_tree
from grader.course.attempt import EXIT_JUDGED, PARAMETERS, refuse
from grader.course.choose import choose, unfold
from grader.course.intake import needed
from grader.course.store import Attempt, Store, digest
from grader.course.tree import RefusedError
from grader.export.autograder_zip import NUMBERS
from grader.export.formats import gradescope
from grader.lab import LabDefinition, find_lab

ROOT = Path("/autograder")
SECONDS = 480.0
"""What a run may take: Gradescope ends it after ten minutes."""


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
    try:
        drawn = own_numbers(root, metadata)
    except RefusedError as problem:
        return None, str(problem)
    total = digest(files)
    attempt = Attempt(scratch / "attempt", lab.number, ["student"], total, refused=refused)
    Store(scratch).add(attempt, files, {PARAMETERS: drawn} if drawn else {})
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


def own_numbers(root: Path, metadata: dict[str, Any]) -> dict[str, Any] | None:
    """The numbers of the student that Gradescope names; None where none were issued to anybody.

    RefusedError when others have numbers: the self-study set would fail a right answer.
    """
    path = root / "source" / NUMBERS
    if not path.is_file():
        return None
    issued: dict[str, dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
    words = [
        str(user.get(name) or "")
        for user in metadata.get("users") or ()
        for name in ("sid", "email")
    ]
    for word in words:
        if found := issued.get(word.casefold()):
            return found
    called = " or ".join(filter(None, words)) or "a student whom Gradescope does not name"
    raise RefusedError(f"this autograder has no numbers for {called}; please tell your staff")


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
