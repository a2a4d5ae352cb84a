from pathlib import Path

import pytest

from grader.lab import LabError, find_lab
from grader.workspace import missing, open_workspace, reset


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_the_folder_is_made_once_and_never_overwritten() -> None:
    lab = find_lab(1)
    first = open_workspace(lab, work=None, solution=None)
    assert (first.created, first.untouched, first.shown) == (True, True, "work/lab-01")
    (first.folder / "virtual-service.yaml").write_text("mine")
    second = open_workspace(lab, work=None, solution=None)
    assert (second.created, second.untouched) == (False, False)
    assert (second.folder / "virtual-service.yaml").read_text() == "mine"


def test_solution_and_work_make_nothing() -> None:
    lab = find_lab(1)
    assert open_workspace(lab, work=None, solution=lab.solution).folder == lab.solution
    assert open_workspace(lab, work=lab.start, solution=None).untouched
    assert list(Path().iterdir()) == []


def test_missing_files_are_named() -> None:
    lab = find_lab(1)
    space = open_workspace(lab, work=None, solution=None)
    (space.folder / "destination-rule.yaml").unlink()
    (sentence,) = missing(lab, space)
    assert sentence.startswith("work/lab-01/destination-rule.yaml is missing")


def test_reset_keeps_the_old_files_aside() -> None:
    lab = find_lab(1)
    space = open_workspace(lab, work=None, solution=None)
    (space.folder / "virtual-service.yaml").write_text("mine")
    kept = []
    for _ in range(3):
        _, aside = reset(lab)
        assert aside is not None
        kept.append(aside)
    assert (kept[0] / "virtual-service.yaml").read_text() == "mine"
    assert len(set(kept)) == 3
    assert open_workspace(lab, work=None, solution=None).untouched


def test_an_unknown_lab() -> None:
    with pytest.raises(LabError, match=r"There is no lab 99; these are here: 0, 1,"):
        find_lab(99)
