"""A run in Gradescope's folders, from the zip's own files."""

import json
import os
import shutil
import subprocess
import zipfile
from pathlib import Path
from typing import Any

import pytest

from grader.course.tree import RefusedError
from grader.export.autograder_zip import NUMBERS, write_zip
from grader.export.gradescope import best_earlier, own_numbers
from grader.lab import LABS, find_lab
from tests.grader.course.hostile import folder


def autograder(tmp_path: Path, files: dict[str, bytes], metadata: dict[str, Any]) -> dict[str, Any]:
    """Run the zip in a folder laid out as Gradescope's."""
    root = tmp_path / "autograder"
    write_zip(LABS.parent, find_lab(1), tmp_path / "a.zip", None)
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        archive.extractall(root / "source")
    kit = root / "source" / "kit"
    (kit / ".venv" / "bin").mkdir(parents=True)
    python = LABS.parent / ".venv" / "bin" / "python"
    script = f'#!/bin/sh\nexport PYTHONPATH="{kit}"\nexec "{python}" -P -m grader.cli "$@"\n'
    (kit / ".venv" / "bin" / "grade").write_text(script)
    (kit / ".venv" / "bin" / "grade").chmod(0o755)
    shutil.copy(root / "source" / "run_autograder", root / "run_autograder")
    folder(root / "submission", files)
    (root / "submission_metadata.json").write_text(json.dumps(metadata))
    done = subprocess.run(
        ["sh", str(root / "run_autograder")],
        cwd=root,
        env={**os.environ, "AUTOGRADER_ROOT": str(root), "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    data: dict[str, Any] = json.loads((root / "results" / "results.json").read_text())
    return data


def test_a_submission_without_its_files_is_told_so(tmp_path: Path) -> None:
    found = autograder(tmp_path, {"readme.txt": b""}, {})
    assert found["score"] == 0
    assert "is missing" in found["output"]
    assert all(each["status"] == "failed" for each in found["tests"])


def test_a_students_numbers_are_found_by_what_gradescope_calls_them(tmp_path: Path) -> None:
    ann = {"values": {"share": 20}, "seed": "5"}
    folder(tmp_path / "source", {NUMBERS: json.dumps({"ann@example.edu": ann}).encode()})
    assert own_numbers(tmp_path, {"users": [{"sid": "", "email": "Ann@Example.edu"}]}) == ann
    assert own_numbers(tmp_path / "without-numbers", {}) is None


def test_nobody_is_judged_by_numbers_that_are_not_theirs(tmp_path: Path) -> None:
    folder(tmp_path / "source", {NUMBERS: b"{}"})
    with pytest.raises(RefusedError, match=r"no numbers for 7 or bob@example\.edu; please"):
        own_numbers(tmp_path, {"users": [{"sid": "7", "email": "bob@example.edu"}]})
    with pytest.raises(RefusedError, match="a student whom Gradescope does not name"):
        own_numbers(tmp_path, {})


def test_the_best_earlier_result_stays() -> None:
    earlier = {"score": 8.0, "output": "good", "tests": [{"score": 8.0}]}
    metadata = {"previous_submissions": [{"score": 3.0}, {"score": 8.0, "results": earlier}]}
    kept = best_earlier(metadata, "the mesh failed")
    assert (kept["score"], kept["tests"]) == (8.0, [{"score": 8.0}])
    assert "best earlier score, 8.0, stays" in kept["output"]
    first = best_earlier({}, "the mesh failed")
    assert "no earlier score" in first["output"]
