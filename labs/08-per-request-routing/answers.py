"""How the answers of lab 8 are judged: each by what the run measured."""

from __future__ import annotations

from grader.checks import answer
from grader.evidence.answered import diagnosed, same
from grader.evidence.record import Evidence
from grader.verdict import Outcome, failed, passed, ungradable


def met(evidence: Evidence, name: str) -> tuple[int, int]:
    """How many requests of a probe v2 answered, and how many there were."""
    seen = evidence.probe(f"predicted-{name}")
    return sum(1 for item in seen if item.version == "v2"), len(seen)


@answer(points=1, needs=("predicted",))
def by_user_agent(evidence: Evidence, given: float) -> Outcome:
    """The browser's own header ends at customer, which makes a request of its own."""
    hits, trials = met(evidence, "by-user-agent")
    return same(given, float(hits), f"the rule met {hits} of {trials} visits.")


@answer(points=1, needs=("predicted",))
def without_dot_star(evidence: Evidence, given: float) -> Outcome:
    """A regular expression has to fit the whole value."""
    hits, trials = met(evidence, "without-dot-star")
    return same(given, float(hits), f"the rule met {hits} of {trials} visits.")


@answer(points=1, needs=("predicted",))
def who_wins(evidence: Evidence, given: str) -> Outcome:
    """The first rule that matches decides."""
    hits, trials = met(evidence, "who-wins")
    if hits not in (0, trials):
        return ungradable(f"{hits} of {trials} requests were answered by v2")
    truth = "first-rule" if hits else "second-rule"
    return same(given, truth, f"all {trials} requests followed the {truth.replace('-', ' ')}.")


@answer(points=1, needs=("diagnosis",))
def failed_visits(evidence: Evidence, given: float) -> Outcome:
    """What the clients saw; the number is not given away."""
    bad = sum(1 for item in evidence.probe("diagnosis") if item.status != 200)
    if given == bad:
        return passed(f"{bad} visits failed.")
    return failed("Another number of visits failed.", help="Count in diagnosis/client.txt.")


@answer(points=2, needs=("diagnosis",))
def cause(evidence: Evidence, given: str) -> Outcome:
    """Which of the broken meshes it was."""
    return diagnosed(evidence, given)
