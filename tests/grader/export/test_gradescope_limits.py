"""Every lab that Gradescope can grade, in a container like Gradescope's, with its limits on.

    pytest -m nightly tests/grader/export/test_gradescope_limits.py

prints the time and the memory of each; ``docs/run-a-course.md`` has them as a table.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from grader.export.autograder_zip import write_zip
from grader.fence.hand_in import has_code
from grader.issue import issue
from grader.lab import LABS, LabDefinition, all_labs, find_lab
from grader.mutants import write_solution
from grader.student import parameters_for
from tests.grader.export.gradescope_container import Container, why_not

pytestmark = pytest.mark.nightly

LIKE_GRADESCOPE = [lab.number for lab in all_labs() if not has_code(lab)]
STUDENT = {"users": [{"sid": "ANN1", "email": "ann@example.edu", "name": "Ann Lee"}]}


@pytest.fixture(scope="module")
def staff(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A course of two, whose numbers are given out."""
    folder = tmp_path_factory.mktemp("staff")
    (folder / "roster.csv").write_text("id,name,email\nann1,Ann Lee,ann@example.edu\nbob,Bob,\n")
    issue(folder)
    return folder


@pytest.fixture(scope="module")
def venv(tmp_path_factory: pytest.TempPathFactory, staff: Path) -> Iterator[Path]:
    """What ``setup.sh`` installs, which is the same for every lab: once is enough."""
    if reason := why_not():
        pytest.skip(reason)
    made = Container(tmp_path_factory.mktemp("image"))
    archive = made.root.parent / "first.zip"
    write_zip(LABS.parent, find_lab(1), archive, staff)
    made.build(archive)
    yield made.autograder / "source" / "kit" / ".venv"
    shutil.rmtree(made.root)  # some hundred MB that nobody looks at again


def image(lab: LabDefinition, folder: Path, staff: Path, venv: Path) -> Container:
    """The image of one lab, built from its own zip."""
    write_zip(LABS.parent, lab, folder / "autograder.zip", staff)
    made = Container(folder / "image", venv)
    made.build(folder / "autograder.zip")
    return made


def solved(number: int, folder: Path, staff: Path) -> tuple[LabDefinition, dict[str, bytes]]:
    """The lab and the right answer to Ann's own numbers."""
    lab = find_lab(number)
    lab = lab.with_set(parameters_for(lab, staff / "students" / "ann1" / "student.toml"))
    written = write_solution(lab, folder / "solved")
    return lab, {f"work/{name}": (written / name).read_bytes() for name in lab.files}


@pytest.mark.parametrize("number", LIKE_GRADESCOPE)
def test_a_solution_gets_full_marks_within_gradescopes_limits(
    number: int, tmp_path: Path, staff: Path, venv: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lab, files = solved(number, tmp_path, staff)
    found = image(lab, tmp_path, staff, venv).submit(files, STUDENT)
    with capsys.disabled():
        print(f"\nlab {number}: {found.seconds:.0f} s, {found.peak / 1e6:.0f} MB")
    lost = [each for each in found.results.get("tests", ()) if each["status"] != "passed"]
    assert not lost, found.output
    assert found.results["score"] == sum(each["max_score"] for each in found.results["tests"]) > 0
    assert found.kills == 0
    assert found.throttled > 0  # the limit was one


def test_a_run_that_cannot_be_judged_keeps_the_best_earlier_score(
    tmp_path: Path, staff: Path, venv: Path
) -> None:
    lab, files = solved(1, tmp_path, staff)
    good = {"score": 8.0, "output": "good", "tests": [{"score": 8.0, "max_score": 10.0}]}
    earlier = [{"score": "3.0", "results": {"score": 3.0}}, {"score": "8.0", "results": good}]
    metadata = {**STUDENT, "previous_submissions": earlier}
    found = image(lab, tmp_path, staff, venv).submit(files, metadata, kill="grader.course.attempt")
    assert (found.results["score"], found.results["tests"]) == (8.0, good["tests"])
    assert "could not be judged (the mesh failed)" in found.results["output"]
    assert "best earlier score, 8.0, stays" in found.results["output"]
