"""An attempt of which nothing ran: every check and every answer for one and the same reason."""

from __future__ import annotations

from dataclasses import dataclass

from grader.answers import load_questions
from grader.checks import CheckFile, load_answer_checks, load_checks
from grader.lab import LabDefinition
from grader.verdict import CheckResult, Verdict


@dataclass(frozen=True, slots=True)
class Lost:
    """The results of the checks and of the answers."""

    checks: tuple[CheckResult, ...]
    answers: tuple[CheckResult, ...]


def lost(
    lab: LabDefinition,
    why: str,
    help: str,
    checks: CheckFile | None = None,
    verdict: Verdict = Verdict.FAIL,
) -> Lost:
    """All that ``lab`` gives points for, with none; ``checks`` are those that count."""
    judges = {each.name: each for each in load_answer_checks(lab.folder)}

    def one(name: str, description: str, points: int) -> CheckResult:
        return CheckResult(name, description, verdict, 0, points, why, help, evidence="")

    counting = checks or load_checks(lab.folder / "checks.py")
    return Lost(
        tuple(one(each.name, each.description, each.points) for each in counting.checks),
        tuple(
            one(each.name, each.text, judges[each.name].points)
            for each in load_questions(lab).all
            if each.name in judges
        ),
    )
