"""Every lab as its folder describes it: well-formed, and its grader is right.

On the mesh run each lab's solution (both engines), its starter and one mutant for each check (one
engine, alternating from lab to lab); ``make labs`` runs all of them on both.
"""

import re
from pathlib import Path

import pytest

from grader.answers import load_questions
from grader.checks import load_answer_checks, load_checks
from grader.diagnosis import load_broken
from grader.evidence.sequential import SequentialTest
from grader.fence.hand_in import read_code
from grader.lab import ANSWERS, LabDefinition, all_labs
from grader.mutants import load_mutants, write_solution
from grader.parameters import ParameterSet, all_sets
from grader.prove import Case, all_cases, few_cases, prove
from grader.run import load_files
from grader.workspace import Workspace

LABS = all_labs()
EACH = pytest.mark.parametrize("lab", LABS, ids=lambda lab: lab.folder.name)


def sets(lab: LabDefinition) -> list[ParameterSet]:
    drawn = [
        ParameterSet(each, "somebody", "theirs", "s") for each in all_sets(lab.parameters, lab.draw)
    ]
    return [ParameterSet(lab.parameters), *drawn]


@EACH
def test_its_files_are_there(lab: LabDefinition) -> None:
    for name in ("README.md", "checks.py", "mutants.yaml", "locustfile.py", "hints.md"):
        assert (lab.folder / name).is_file(), name
    for name in lab.files:
        assert (lab.solution / name).is_file()
        assert name == ANSWERS or (lab.start / name).is_file()
    assert int(lab.folder.name[:2]) == lab.number


@EACH
def test_it_asks_and_can_judge_what_it_asks(lab: LabDefinition) -> None:
    questions = load_questions(lab)
    assert 2 <= len(questions.predictions) <= 4
    assert questions.diagnosis
    assert len(load_broken(lab)) >= 3
    assert [item.name for item in questions.all] == [
        item.name for item in load_answer_checks(lab.folder)
    ]
    assert ANSWERS in lab.files


@EACH
def test_each_check_has_a_mutant_that_it_must_catch(lab: LabDefinition, tmp_path: Path) -> None:
    names = {item.name for item in load_checks(lab.folder / "checks.py").checks}
    mutants = load_mutants(lab)
    wrong = [item for item in mutants if not item.right]
    assert len(wrong) >= 8
    assert len(mutants) - len(wrong) >= 2
    caught = set().union(*(item.lose for item in wrong))
    assert names <= caught <= names | {item.name for item in load_questions(lab).all}
    solution = {name: (lab.solution / name).read_text() for name in lab.files}
    for item in mutants:
        folder = item.write(lab, tmp_path / item.name)
        assert {name: (folder / name).read_text() for name in lab.files} != solution


@EACH
def test_no_set_passes_for_another_by_chance(lab: LabDefinition) -> None:
    """A share between two sets' own is decided by luck: whoever answers another set is told so."""
    shares = {each.values["share"] for each in sets(lab) if "share" in each.values}
    for values in (each.values for each in sets(lab) if "share" in each.values):
        upper, lower = values["alternatives"]
        assert lower < values["share"] < upper
        assert not [s for s in shares if lower < s < upper and s != values["share"]]


@EACH
def test_everybody_has_a_task_that_can_be_solved(lab: LabDefinition, tmp_path: Path) -> None:
    from rich.console import Console

    assert lab.draw, "a lab draws its numbers for each student"
    for number, chosen in enumerate(sets(lab)):
        assert not number or chosen.values != lab.parameters
        mine = lab.with_set(chosen)
        assert "{" not in mine.task + mine.parameters_text + mine.first
        folder = write_solution(mine, tmp_path / str(number))
        loaded = load_files(Console(quiet=True), mine, Workspace(folder, False, False))
        assert loaded or not mine.manifests
        for name, text in read_code(mine, folder).items():
            compile(text, name, "exec")
        if "share" in chosen.values and "alternatives" in chosen.values:
            SequentialTest(
                chosen.values["share"] / 100,
                tuple(share / 100 for share in chosen.values["alternatives"]),
            )


@EACH
def test_the_hints_open_one_at_a_time(lab: LabDefinition) -> None:
    heads = re.findall(r"^## .+$", (lab.folder / "hints.md").read_text(), re.MULTILINE)
    assert 2 <= len(heads) <= 8


@EACH
def test_the_chapter_has_its_parts(lab: LabDefinition) -> None:
    text = (lab.folder / "README.md").read_text()
    heads = re.findall(r"^## (.+)$", text, re.MULTILINE)
    for part in (
        "See it",
        "Fix it",
        "Break it on purpose",
        "Further",
        "What real Istio does today",
    ):
        assert any(part in head for head in heads), part
    assert f"`core`: {lab.minutes} minutes" in text


def on_the_mesh() -> list[object]:
    """(lab, engine, cases): the few in every run, all with ``-m nightly``."""
    found = []
    for lab in LABS:
        few = few_cases(lab)
        first, second = ("mitmproxy", "envoy") if lab.number % 2 else ("envoy", "mitmproxy")
        if len(lab.engines) == 1:
            first = second = lab.engines[0]
        for engine, cases in ((first, few), (second, few[:1]))[: len(lab.engines)]:
            marks = [pytest.mark.envoy] if engine == "envoy" else []
            found.append(pytest.param(lab, engine, cases, marks=marks, id=f"{lab.number}-{engine}"))
        for engine in (first, second)[: len(lab.engines)]:
            marks = [pytest.mark.nightly]
            marks += [pytest.mark.envoy] if engine == "envoy" else []
            name = f"{lab.number}-{engine}-all"
            found.append(pytest.param(lab, engine, all_cases(lab), marks=marks, id=name))
    return found


@pytest.mark.parametrize(("lab", "engine", "cases"), on_the_mesh())
def test_wrong_answers_lose_their_points_and_right_ones_nothing(
    lab: LabDefinition, engine: str, cases: tuple[Case, ...]
) -> None:
    rows = list(prove(lab, engine, cases))
    assert len(rows) == len(cases)
    assert [(row.case.name, row.fault) for row in rows if row.fault] == []
