"""Verdicts: what the grader says about one question.

A check passes, fails, or is ungradable.  Ungradable means that the kit could not find out (its
load driver died, the machine lost connections): that is never the student's zero.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Verdict(enum.StrEnum):
    """The three answers."""

    PASS = "pass"  # noqa: S105  a verdict, not a secret
    FAIL = "fail"
    UNGRADABLE = "ungradable"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a check found.

    ``rationale`` says what the traffic showed, ``help`` what to look at next (empty on a pass),
    ``evidence`` the counts behind it, in one line.  ``part`` (0 to 1) of the points are earned by
    what failed.
    """

    verdict: Verdict
    rationale: str
    help: str = ""
    evidence: str = ""
    part: float = 0.0


def passed(rationale: str, *, evidence: str = "") -> Outcome:
    """The traffic showed what the task asks for."""
    return Outcome(Verdict.PASS, rationale, "", evidence)


def failed(rationale: str, *, help: str, evidence: str = "", part: float = 0.0) -> Outcome:
    """The traffic showed something else; ``help`` is where to look, not the solution.

    ``part`` of the points (0 to 1, rounded down) are earned all the same: for a level that was kept
    in part.
    """
    return Outcome(Verdict.FAIL, rationale, help, evidence, part)


def ungradable(rationale: str, *, evidence: str = "") -> Outcome:
    """The kit could not find out."""
    return Outcome(
        Verdict.UNGRADABLE, rationale, "Run it again; your files are not at fault.", evidence
    )


def not_answerable(rationale: str) -> Outcome:
    """The runtime cannot answer the question, however often it is asked."""
    return Outcome(
        Verdict.UNGRADABLE,
        f"Not answerable on this cluster: {rationale}.",
        "The kit's own mesh answers it: leave RUNTIME and TARGET away.",
    )


@dataclass(frozen=True, slots=True)
class CheckResult:
    """One check of one run, as it stands in ``result.json``; ``description`` is its sentence."""

    name: str
    description: str
    verdict: Verdict
    points: int
    max_points: int
    rationale: str
    help: str
    evidence: str


def overall(checks: tuple[CheckResult, ...]) -> Verdict:
    """The run's verdict: ungradable when one check is, pass when all pass, fail otherwise."""
    verdicts = {check.verdict for check in checks}
    if not checks or Verdict.UNGRADABLE in verdicts:
        return Verdict.UNGRADABLE
    return Verdict.PASS if verdicts == {Verdict.PASS} else Verdict.FAIL
