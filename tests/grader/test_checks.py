from pathlib import Path

import pytest

from grader.checks import Check, check, imported, judge, load_checks
from grader.evidence.record import Evidence
from grader.verdict import Outcome, Verdict, failed, overall, passed

TEXT = '''
from grader.checks import check, probe
from grader.verdict import passed

@probe
def first_look(lab):
    """Looking."""

@check(points=3, needs=("first-look",))
def it_is_there(evidence):
    """It is there,
    whole.

    Not for the student."""
    return passed("yes")
'''


def test_names_and_sentences(tmp_path: Path) -> None:
    path = tmp_path / "checks.py"
    path.write_text(TEXT)
    found = load_checks(path)
    assert [(item.name, item.title) for item in found.probes] == [("first-look", "Looking")]
    (only,) = found.checks
    assert (only.name, only.description, only.points) == ("it-is-there", "It is there, whole.", 3)


def test_a_check_without_a_sentence_is_refused() -> None:
    with pytest.raises(ValueError, match="needs a docstring"):

        @check(points=1)
        def nothing(evidence: Evidence) -> Outcome:
            return passed("")


def make(outcome: Outcome | Exception, *, needs: tuple[str, ...] = ()) -> Check:
    def ask(evidence: Evidence) -> Outcome:
        """Ask."""
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    return check(points=2, needs=needs)(ask)


def test_points_are_earned_by_a_pass_only_and_a_broken_check_is_no_zero() -> None:
    checks = (make(passed("a")), make(failed("b", help="c")), make(KeyError("d")))
    results = judge(checks, Evidence())
    assert [item.points for item in results] == [2, 0, 0]
    assert [str(item.verdict) for item in results] == ["pass", "fail", "ungradable"]
    assert "KeyError" in results[2].rationale
    part = judge((make(failed("b", help="c", part=0.9)),), Evidence())[0]
    assert (part.points, part.max_points, part.verdict) == (1, 2, Verdict.FAIL)
    assert overall(results) is Verdict.UNGRADABLE
    assert overall(results[:2]) is Verdict.FAIL
    assert overall(results[:1]) is Verdict.PASS
    assert overall(()) is Verdict.UNGRADABLE


def test_what_was_not_collected_is_not_judged() -> None:
    (missing,) = judge((make(passed("a"), needs=("x",)),), Evidence())
    assert missing.verdict is Verdict.UNGRADABLE


BESIDE = "from .words import YES\n" + TEXT.replace('passed("yes")', "passed(YES)")


def test_checks_import_what_stands_beside_them(tmp_path: Path) -> None:
    """Each folder has its own: two labs' modules of one name are not mixed up."""
    for word in ("one", "two"):
        folder = tmp_path / word
        folder.mkdir()
        (folder / "checks.py").write_text(BESIDE)
        (folder / "words.py").write_text(f"YES = {word!r}\n")
    for word in ("one", "two", "one"):
        (only,) = load_checks(tmp_path / word / "checks.py").checks
        assert only.judge(Evidence()).rationale == word


def test_checks_from_elsewhere_bring_along_what_differs_from_the_labs(tmp_path: Path) -> None:
    lab, elsewhere = tmp_path / "lab", tmp_path / "elsewhere"
    for folder in (lab, elsewhere):
        folder.mkdir()
    (lab / "words.py").write_text("YES = 'the lab'\n")
    path = elsewhere / "new-checks.py"
    path.write_text(BESIDE)
    assert imported(path, lab) == [lab / "words.py"]
    (only,) = load_checks(path, lab).checks
    assert only.judge(Evidence()).rationale == "the lab"
    mended = tmp_path / "mended"
    mended.mkdir()
    (mended / "words.py").write_text("YES = 'mended'\n")
    other = mended / "new-checks.py"
    other.write_text(BESIDE)
    assert imported(other, lab) == [mended / "words.py"]
    (only,) = load_checks(other, lab).checks
    assert only.judge(Evidence()).rationale == "mended"


def test_checks_from_elsewhere_do_not_lose_the_labs_hidden_ones(tmp_path: Path) -> None:
    lab, path = tmp_path / "lab", tmp_path / "new-checks.py"
    lab.mkdir()
    (lab / "staff.py").write_text(TEXT.replace("it_is_there", "it_is_hidden"))
    path.write_text(TEXT)
    names = [each.name for each in load_checks(path, lab).checks]
    assert names == ["it-is-there", "it-is-hidden"]
    assert [each.name for each in load_checks(path).checks] == names[:1]
