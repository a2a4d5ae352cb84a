"""How the answers of lab 7 are judged: each by what the run measured."""

from __future__ import annotations

from grader.checks import answer
from grader.evidence.answered import diagnosed, diagnosed_flag, same
from grader.evidence.record import Evidence
from grader.verdict import Outcome, ungradable

FLAGS = ("FI", "UH", "UO", "URX", "UT")


@answer(points=1, needs=("predicted",))
def refused_at_once(evidence: Evidence, given: float) -> Outcome:
    """What the sidecar refused while nothing was answered."""
    found = evidence.notes["predicted"]["pool"]
    said = (
        f"{found['served']} were under way, {found['waiting']} waited, {found['refused']} refused."
    )
    return same(given, float(found["refused"]), said)


@answer(points=1, needs=("predicted",))
def all_pods_left_out(evidence: Evidence, given: float) -> Outcome:
    """What customers get when nobody is left to ask."""
    statuses = {item.status for item in evidence.probe("predicted-none-left")}
    if len(statuses) != 1:
        return ungradable(f"the statuses differed: {sorted(statuses)}")
    (status,) = statuses
    return same(given, float(status), f"All were answered {status}.")


@answer(points=1, needs=("predicted",))
def ten_percent_of_two(evidence: Evidence, given: float) -> Outcome:
    """One of two pods is half of them, more than a tenth."""
    seen = evidence.probe("predicted-ten-percent")
    bad = sum(1 for item in seen if item.status == 500)
    return same(given, float(bad), f"{bad} of {len(seen)} were answered 500.")


@answer(points=1, needs=("diagnosis",))
def flag(evidence: Evidence, given: str) -> Outcome:
    """The flag in the broken mesh's logs."""
    return diagnosed_flag(evidence, given, FLAGS)


@answer(points=2, needs=("diagnosis",))
def cause(evidence: Evidence, given: str) -> Outcome:
    """Which of the broken meshes it was."""
    return diagnosed(evidence, given)
