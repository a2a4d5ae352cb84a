"""Lab 1 on the real mesh, from the command line: what a student gets, on both engines."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from grader.lab import find_lab
from grader.mutants import Mutant, load_mutants

LAB = find_lab(1)
PROJECT = LAB.folder.parents[1]
MUTANTS = load_mutants(LAB)
FIRST = {mutant.lose: mutant.name for mutant in reversed(MUTANTS)}
"""One wrong answer for each set of checks it has to lose, and one right variant."""
ENGINES = ["mitmproxy", pytest.param("envoy", marks=pytest.mark.envoy)]


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


@pytest.mark.parametrize("engine", ENGINES)
def test_the_solution_gets_full_marks(engine: str, tmp_path: Path) -> None:
    out, result = grade(LAB.solution, engine, tmp_path)
    assert out.splitlines()[-1] == "score: 10/10"
    assert (result["verdict"], result["engine"]) == ("pass", engine)
    assert "v1 ██████████████████░░" in out or "v1 ███████████████" in out


@pytest.mark.parametrize("engine", ENGINES)
def test_the_starter_is_a_starting_point(engine: str, tmp_path: Path) -> None:
    out, result = grade(LAB.start, engine, tmp_path)
    assert out.splitlines()[-1] == "score: 4/10"
    assert "the score below is a starting point" in out
    assert result["checks"][1]["rationale"] == "v2 answered none of 200 requests."


def cases() -> Iterator[Any]:
    """The first mutant of each kind in every run, the others with ``make labs``."""
    for mutant in MUTANTS:
        marks = [] if mutant.name in FIRST.values() else [pytest.mark.nightly]
        yield pytest.param(mutant, id=mutant.name, marks=marks)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("mutant", list(cases()))
def test_wrong_answers_lose_their_points_and_right_ones_nothing(
    mutant: Mutant, engine: str, tmp_path: Path
) -> None:
    _, result = grade(mutant.write(LAB, tmp_path / "files"), engine, tmp_path)
    failed = {item["name"] for item in result["checks"] if item["verdict"] == "fail"}
    assert mutant.caught(failed), (mutant.why, failed)
