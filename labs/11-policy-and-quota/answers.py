"""How the answers of lab 11 are judged: each by what the run measured."""

from __future__ import annotations

from collections import Counter

from grader.checks import answer
from grader.evidence.answered import diagnosed, same
from grader.evidence.record import Evidence
from grader.verdict import Outcome, failed, passed, ungradable


def counted(evidence: Evidence, given: float, name: str) -> Outcome:
    """Compare how many were served with the prediction."""
    found = evidence.notes["predicted"][name]
    return same(given, float(found), f"{found} were served.")


@answer(points=1, needs=("predicted",))
def what_it_costs(evidence: Evidence, given: float) -> Outcome:
    """A charge is taken whole or not at all."""
    return counted(evidence, given, "what-it-costs")


@answer(points=1, needs=("predicted",))
def without_a_binding(evidence: Evidence, given: float) -> Outcome:
    """A quota that no service is bound to costs nothing."""
    return counted(evidence, given, "without-a-binding")


@answer(points=1, needs=("predicted",))
def two_pods(evidence: Evidence, given: float) -> Outcome:
    """Each sidecar has a bucket of its own."""
    return counted(evidence, given, "two-pods")


@answer(points=1, needs=("predicted",))
def not_on_the_list(evidence: Evidence, given: float) -> Outcome:
    """What a white list says about who is not on it."""
    found = evidence.notes["predicted"]["not-on-the-list"]
    return same(given, float(found), f"It was answered {found}.")


@answer(points=1, needs=("diagnosis",))
def hop(evidence: Evidence, given: str) -> Outcome:
    """Who refused, by flag and direction in the access log; the answer is not given away."""
    ids = {item.request_id for item in evidence.probe("diagnosis")}
    who = Counter(
        evidence.pods.get(str(line.get("pod")), {}).get("app", "")
        for line in evidence.access_log
        if line.get("request_id") in ids
        and line.get("direction") == "inbound"
        and {"UAEX", "RL"} & set(str(line.get("response_flags", "")).split(","))
    )
    if len(who) != 1:
        return ungradable(f"{len(who)} services refused")
    if who[given]:
        return passed(f"{given}'s sidecar refused.")
    return failed("Another one refuses.", help="Look for UAEX and RL in diagnosis/log.txt.")


@answer(points=2, needs=("diagnosis",))
def cause(evidence: Evidence, given: str) -> Outcome:
    """Which of the broken meshes it was."""
    return diagnosed(evidence, given)
