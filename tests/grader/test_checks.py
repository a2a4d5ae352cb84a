from pathlib import Path

import pytest

from grader.checks import Check, check, judge, load_checks
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
