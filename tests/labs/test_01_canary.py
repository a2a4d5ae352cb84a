"""Lab 1 on the real mesh, from the command line: what a student gets, on both engines."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from grader.lab import find_lab

LAB = find_lab(1)
PROJECT = LAB.folder.parents[1]


def grade(folder: Path, engine: str, cwd: Path) -> tuple[str, dict[str, Any]]:
    environment = {**os.environ, "PYTHONPATH": str(PROJECT), "COLUMNS": "200"}
    done = subprocess.run(
        [sys.executable, "-m", "grader.cli", "lab", "1", "--work", folder, "--engine", engine],
        cwd=cwd,
        env=environment,
        text=True,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads((cwd / "runs" / "lab-01" / "latest" / "result.json").read_text())
    return done.stdout, result


@pytest.mark.envoy
def test_the_solution_gets_full_marks(tmp_path: Path) -> None:
    out, result = grade(LAB.solution, "envoy", tmp_path)
    assert out.splitlines()[-1] == "score: 10/10"
    assert (result["verdict"], result["engine"]) == ("pass", "envoy")
    assert "v1 ██████████████████░░" in out or "v1 ███████████████" in out


def test_the_starter_is_a_starting_point(tmp_path: Path) -> None:
    out, result = grade(LAB.start, "mitmproxy", tmp_path)
    assert out.splitlines()[-1] == "score: 4/10"
    assert "the score below is a starting point" in out
    assert result["checks"][1]["rationale"] == "v2 answered none of 400 requests."
