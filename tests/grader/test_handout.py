"""The students' tree: runs, and shows nothing that only staff may see."""

import subprocess
from pathlib import Path

import pytest

from grader.handout import handed_out, write_handout
from grader.issue import issue
from grader.lab import LABS, LabError, all_labs
from grader.mutants import load_mutants
from tests.grader.commands import grade
from tests.grader.course.hostile import solved

KIT = LABS.parent


@pytest.fixture(scope="module")
def handout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    course = tmp_path_factory.mktemp("course")
    (course / "roster.csv").write_text("id,name\nann1,Ann Lee\n")
    issue(course)
    into = tmp_path_factory.mktemp("out") / "handout"
    write_handout(KIT, into, course)
    return into


def test_nothing_of_the_staff_is_in_it(handout: Path) -> None:
    names = {path.relative_to(handout).as_posix() for path in handout.rglob("*")}
    assert not [name for name in names if name.startswith("labs/") and "solution" in name]
    for name in ("mutants.yaml", "answers.py", "staff.py", "diagnosis.yaml", "secret.key"):
        assert not [each for each in names if each.startswith("labs/") and each.endswith(name)]
    assert "course-key.toml" in names
    assert {"Makefile", "labs/01-canary/README.md", "labs/01-canary/diagnosis.sealed"} <= names
    assert not [name for name in names if name.startswith(("work/", "runs/", ".venv"))]


def test_no_solution_hides_in_another_file(handout: Path) -> None:
    labs = [
        path.read_text()
        for path in (handout / "labs").rglob("*")
        if path.suffix in (".yaml", ".py")
    ]
    for lab in all_labs():
        assert not [text for text in labs for answer in solved(lab) if answer in text]
        for mutant in load_mutants(lab):
            assert not [text for text in labs if f"name: {mutant.name}\n" in text]


def test_its_commands_work(handout: Path) -> None:
    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return grade(handout, *words, kit=handout)

    assert "There is no solution of lab 1 in this copy" in run("lab", "1", "--solution").stdout
    assert run("hint", "1").returncode == 0
    assert (handout / "work" / "lab-01" / "virtual-service.yaml").exists()
    assert "receipt: lab-01" in run("submit", "1").stdout
    assert "1 Canary release" in run("progress").stdout


def test_the_judges_can_be_kept() -> None:
    assert Path("labs/01-canary/answers.py") in set(handed_out(KIT, judges=True))


def test_it_does_not_overwrite(handout: Path, tmp_path: Path) -> None:
    with pytest.raises(LabError, match="exists: remove it first"):
        write_handout(KIT, handout, None)
    with pytest.raises(LabError, match="run `grade issue"):
        write_handout(KIT, tmp_path / "new", tmp_path)
