"""A new lab is a copy of lab 1 that loads and is complete."""

import shutil
from pathlib import Path

import pytest

from grader.answers import load_questions
from grader.checks import load_answer_checks, load_checks
from grader.lab import LABS, LabError, read_lab
from grader.mutants import load_mutants
from grader.skeleton import new_lab


def test_a_new_lab_is_complete(tmp_path: Path) -> None:
    shutil.copytree(LABS / "01-canary", tmp_path / "01-canary")
    lab = read_lab(new_lab(12, "observability", tmp_path))
    assert (lab.number, lab.title, lab.slug) == (12, "Observability", "lab-12")
    assert load_checks(lab.folder / "checks.py").max_score == 10
    assert len(load_answer_checks(lab.folder)) == len(load_questions(lab).all)
    assert load_mutants(lab)
    chapter = (lab.folder / "README.md").read_text()
    assert "# Lab 12: Observability" in chapter
    assert "make lab-12" in chapter
    assert "lab-1`" not in chapter
    with pytest.raises(LabError, match="Lab 12 is there already"):
        new_lab(12, "other", tmp_path)


@pytest.mark.parametrize(("number", "name"), [(12, "Bad Name"), (12, "../x"), (100, "fine")])
def test_names_that_cannot_be_used(tmp_path: Path, number: int, name: str) -> None:
    with pytest.raises(LabError, match="cannot be a lab's n"):
        new_lab(number, name, tmp_path)
