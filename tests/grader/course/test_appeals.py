"""Evidence judged again, explained and asked about, without a mesh."""

import json
from pathlib import Path

import pytest

from grader import session
from grader.checks import load_checks
from grader.course.appeals import rescore_all, viva_student
from grader.course.attempt import judge_attempt
from grader.course.explain import explain_student
from grader.course.rescore import ASKED, bring_back, checks_of, rescore, set_aside
from grader.course.store import Store
from tests.grader.course.graded import LAB
from tests.grader.fake_mesh import FakeMesh

REPAIRED = """
from .sayings import ANSWERED

@check(points=4, needs=("share",))
def share_is_right(evidence: Evidence) -> Outcome:
    \"\"\"Recommendation v2 gets any share at all.\"\"\"
    return passed(ANSWERED)
"""
SAYINGS = "ANSWERED = 'v2 answered.'\n"
"""A module that the repaired checks bring along."""


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(tmp_path)


def results(store: Store) -> dict[str, bytes]:
    return {each.name: (each.run / "result.json").read_bytes() for each in store.attempts()}


def test_a_rescore_is_the_same_byte_for_byte(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    before, grades = results(store), (store.out / "grades.csv").read_bytes()
    assert rescore_all(store.out, None, None, None, dry_run=False) == 0
    assert capsys.readouterr().out == "4 results, each the same byte for byte.\n"
    assert results(store) == before
    assert (store.out / "grades.csv").read_bytes() == grades


def repaired(folder: Path) -> Path:
    path = folder / "new-checks.py"
    text = (LAB.folder / "checks.py").read_text()
    path.write_text(text + REPAIRED)
    (folder / "sayings.py").write_text(SAYINGS)
    return path


def test_repaired_checks_print_every_changed_mark_before_anything_is_written(
    store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = results(store)
    assert rescore_all(store.out, None, 1, repaired(tmp_path), dry_run=True) == 0
    told = capsys.readouterr().out
    assert "bob, lab 1, share-is-right: fail 0/4 -> pass 4/4" in told
    assert "bob, lab 1: 6 -> 10 of 10 points" in told
    assert "ada" not in told
    assert "cat" not in told
    assert results(store) == before

    assert rescore_all(store.out, None, 1, repaired(tmp_path), dry_run=False) == 0
    assert "bob, lab 1: 6 -> 10 of 10 points" in capsys.readouterr().out
    rows = (store.out / "grades.csv").read_text().splitlines()
    assert rows[2].startswith("bob,1,10,10,pass")
    bob = next(each for each in store.attempts() if each.members == [store.alias("bob")])
    assert json.loads((bob.run / "result-before-1.json").read_text())["score"] == 6

    # from now on these checks are the ones that count
    assert rescore_all(store.out, None, None, None, dry_run=False) == 0
    assert "4 results, each the same" in capsys.readouterr().out


def test_a_rescore_brings_overrides_into_the_tables_and_says_so(
    store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "course.yaml").write_text("overrides: overrides.csv\n")
    (tmp_path / "overrides.csv").write_text(
        "student,lab,check,points,reason,who,date\nbob,1,share-is-right,4,misread,mk,2026-11-09\n"
    )
    assert rescore_all(store.out, None, None, None, dry_run=False) == 0
    assert capsys.readouterr().out.startswith("bob, lab 1: 6 -> 10 of 10 points\n4 results, each")
    assert "bob,1,10,10,pass" in (store.out / "grades.csv").read_text()


def test_checks_that_do_not_load_are_one_sentence(
    store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "broken.py"
    path.write_text("def (")
    assert rescore_all(store.out, None, 1, path, dry_run=False) == 2
    assert "does not load: SyntaxError" in " ".join(capsys.readouterr().out.split())


def test_an_explanation_names_the_requests_that_decided(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    assert explain_student("bob", store.out, None, None) == 0
    told = capsys.readouterr().out
    bob = next(a for a in store.attempts() if a.result()["score"] == 6)
    assert told.startswith("bob, lab 1: 6 of 10 points, fail. share-is-right:")
    assert "were answered 200 by v2, share-" in told
    assert bob.name in told
    assert explain_student("cat", store.out, None, None) == 0
    assert "the files do not load: destination-rule.yaml:2:" in capsys.readouterr().out
    assert explain_student("dan", store.out, None, None) == 0
    told = capsys.readouterr().out
    assert "virtual-service.yaml is missing" in told
    assert "Nothing ran, so there are no requests to look at." in told
    assert told.count("share-is-right fail 0/4") == told.count("Hand in destination-rule.yaml") == 1
    assert explain_student("eve", store.out, None, None) == 2


def test_a_viva_has_three_questions_from_ones_own_evidence(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    told = []
    for student in ("ada", "bob", "bob", "cat"):
        assert viva_student(student, store.out, None, None) == 0
        told.append(capsys.readouterr().out)
    assert all(text.count("expect: ") == 3 for text in told)
    assert told[1] == told[2]
    assert told[0] != told[1]
    assert "The check share-is-right was lost" in told[1]
    assert "did not load, so there was no traffic" in told[3]
    assert viva_student("dan", store.out, None, None) == 2
    assert "Nothing ran: virtual-service.yaml is missing." in capsys.readouterr().out


def test_a_new_measurement_that_fails_brings_the_old_one_back(store: Store) -> None:
    ada = next(a for a in store.attempts() if a.result()["score"] == 10)
    before = (ada.run / "result.json").read_bytes()
    set_aside(ada)
    assert not ada.done
    assert (ada.discarded[0] / "why.txt").read_text().strip() == ASKED
    assert bring_back(ada)
    assert (ada.run / "result.json").read_bytes() == before
    assert not bring_back(ada)  # a sound result stays
    assert rescore(ada, checks_of(store, LAB)).identical


def test_a_new_measurement_is_judged_by_the_checks_that_count(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bob = next(each for each in store.attempts() if each.members == [store.alias("bob")])
    set_aside(bob)
    monkeypatch.setattr(session, "make_testbed", lambda *_: FakeMesh())
    assert judge_attempt(bob, "mitmproxy", "local", checks=load_checks(repaired(tmp_path))) == ""
    assert bob.result()["score"] == 10


def test_a_folder_without_results_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert rescore_all(tmp_path / "nothing", None, None, None, dry_run=False) == 2
    assert "holds no results" in " ".join(capsys.readouterr().out.split())
