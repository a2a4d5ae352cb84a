"""A lab from file to score: real files, driver, checks and report; the mesh is a stand-in."""

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from grader import session
from grader.checks import judge, load_checks
from grader.evidence.record import load_evidence
from grader.issue import issue
from grader.lab import find_lab
from grader.mutants import Mutant, load_mutants
from grader.run import run_lab
from grader.student import read_student
from tests.grader.fake_mesh import FakeMesh

LAB = find_lab(1)
MUTANTS = load_mutants(LAB)


@pytest.fixture(autouse=True)
def meshes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[FakeMesh]:
    made: list[FakeMesh] = []

    def make(*_: object) -> FakeMesh:
        made.append(FakeMesh())
        return made[-1]

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(session, "make_testbed", make)
    return made


def result() -> dict[str, Any]:
    data: dict[str, Any] = json.loads(Path("runs/lab-01/latest/result.json").read_text())
    return data


def test_the_solution(meshes: list[FakeMesh], capsys: pytest.CaptureFixture[str]) -> None:
    assert run_lab(1, solution=True) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[-1] == "score: 10/10"
    assert out[0].startswith("Lab 1, Canary release: the self-study set of parameters")
    assert out[-2] == "answers: 6/6"
    assert sum("✓ pass" in line for line in out) == 4 + 5
    assert any(line.lstrip().startswith("v1 ██") for line in out)
    assert meshes[0].stopped
    assert result()["verdict"] == "pass"
    assert not Path("work").exists()


def test_the_untouched_starter(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_lab(1) == 0
    out = capsys.readouterr().out
    assert out.splitlines()[-1] == "score: 4/10"
    assert "the score below is a starting point" in out
    assert "Task:      Recommendation v2 is deployed" in out
    assert "Files:     work/lab-01/" in out
    assert "Try first: Open virtual-service.yaml" in out
    assert "hint: " in out


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda item: item.name)
def test_wrong_answers_lose_their_points_and_right_ones_nothing(
    mutant: Mutant, tmp_path: Path
) -> None:
    assert run_lab(1, mutant.write(LAB, tmp_path / "mutant")) == int(mutant.refused)
    if mutant.refused:
        return
    judged = [*result()["checks"], *result()["answers"]]
    failed = {item["name"] for item in judged if item["verdict"] == "fail"}
    assert mutant.caught(failed), (mutant.why, failed)
    assert all(item["help"] for item in judged if item["verdict"] == "fail")


def test_the_score_can_be_reached_again_without_traffic() -> None:
    run_lab(1, solution=True)
    again = judge(
        load_checks(LAB.folder / "checks.py").checks, load_evidence(Path("runs/lab-01/latest"))
    )
    assert [(item.name, str(item.verdict)) for item in again] == [
        (item["name"], item["verdict"]) for item in result()["checks"]
    ]


def test_lost_connections_are_ungradable_and_keep_the_last_result(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run_lab(1, solution=True)
    monkeypatch.setattr(session, "make_testbed", lambda *_: FakeMesh(drop_every=9))
    assert run_lab(1, solution=True) == 3
    assert "• ungradable" in capsys.readouterr().out
    assert result()["score"] == 10


def test_ctrl_c_stops_everything_with_one_line(
    meshes: list[FakeMesh], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    apply = FakeMesh.apply

    def interrupting(self: FakeMesh, resources: Any) -> None:
        apply(self, resources)
        if self.applied == 3:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(FakeMesh, "apply", interrupting)
    assert run_lab(1, solution=True) == 130
    captured = capsys.readouterr()
    assert captured.out.splitlines()[-1].startswith("Interrupted: nothing is left running")
    assert captured.err == ""
    assert meshes[0].stopped
    assert not Path("runs/lab-01/latest").exists()


def test_a_mesh_that_does_not_start_is_ungradable(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from mesh.testbed.client import TestbedError

    class Broken(FakeMesh):
        def start(self) -> None:
            raise TestbedError("The pilot did not come up.")

        def stop(self) -> None:
            self.stopped = True

    monkeypatch.setattr(session, "make_testbed", lambda *_: Broken())
    assert run_lab(1, solution=True) == 3
    assert "The pilot did not come up." in capsys.readouterr().out


def issued(tmp_path: Path) -> Path:
    """A course of one student, whose share is not the self-study one."""
    course = tmp_path / "course"
    course.mkdir()
    (course / "roster.csv").write_text("id,name\nann1,Ann Lee\n")
    (file,) = issue(course).files
    return file


def test_a_student_is_asked_for_their_own_numbers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = issued(tmp_path)
    share = read_student(file).set_for(LAB).values["share"]
    assert run_lab(1, solution=True, student=file) == 0
    out = capsys.readouterr().out
    assert out.startswith("Lab 1, Canary release: the parameters of Ann Lee (ann1, course")
    assert out.splitlines()[-1] == "score: 10/10"
    assert f"asked for: {share} %" in out
    assert (result()["student"], result()["foreign"]) == ("ann1", "")


def test_the_task_is_written_with_the_numbers_in_use(tmp_path: Path) -> None:
    file = issued(tmp_path)
    share = read_student(file).set_for(LAB).values["share"]
    run_lab(1, student=file)
    text = Path("work/lab-01/TASK.md").read_text()
    assert text.startswith("Lab 1, Canary release: the parameters of Ann Lee (ann1")
    assert f"Let it answer {share} % of the requests" in " ".join(text.split())
    file.rename("student.toml")
    Path("work/lab-01/TASK.md").unlink()
    run_lab(1)
    assert Path("work/lab-01/TASK.md").read_text() == text


def test_the_answer_to_another_set_is_reported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = issued(tmp_path)
    assert run_lab(1, LAB.solution, student=file) == 0
    assert "These files answer the self-study set of parameters" in " ".join(
        capsys.readouterr().out.split()
    )
    assert result()["foreign"] == "the self-study set of parameters"
    assert result()["score"] < 10
    assert run_lab(1, LAB.start, student=file) == 0
    assert result()["foreign"] == ""


def test_a_file_that_was_changed_stops_the_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = issued(tmp_path)
    file.write_text(file.read_text().replace("Ann", "Eve"))
    assert run_lab(1, student=file) == 2
    assert "the signature does not fit" in " ".join(capsys.readouterr().out.split())
