"""How the answers of lab 9 are judged: each by what the run measured."""

from __future__ import annotations

from collections import Counter

from grader.checks import answer
from grader.evidence.answered import diagnosed, same
from grader.evidence.record import Evidence
from grader.verdict import Outcome, failed, passed, ungradable


def status(evidence: Evidence, given: float, name: str) -> Outcome:
    """Compare the status that all requests of a case got with the predicted one."""
    found = set(evidence.notes["predicted"][name])
    if len(found) != 1:
        return ungradable(f"the statuses differed: {sorted(found)}")
    (one,) = found
    return same(given, float(one), f"It was answered {one}.")


@answer(points=1, needs=("predicted",))
def without_a_token(evidence: Evidence, given: float) -> Outcome:
    """Who shows nothing is nobody in particular, and is let through."""
    return status(evidence, given, "without-a-token")


@answer(points=1, needs=("predicted",))
def with_a_bad_token(evidence: Evidence, given: float) -> Outcome:
    """Who shows something bad is refused."""
    return status(evidence, given, "with-a-bad-token")


@answer(points=1, needs=("predicted",))
def deny_and_allow(evidence: Evidence, given: float) -> Outcome:
    """DENY is asked first."""
    return status(evidence, given, "deny-and-allow")


@answer(points=1, needs=("predicted",))
def two_slashes(evidence: Evidence, given: float) -> Outcome:
    """A rule about paths compares texts."""
    return status(evidence, given, "two-slashes")


@answer(points=1, needs=("diagnosis",))
def hop(evidence: Evidence, given: str) -> Outcome:
    """Who refused, by the details in the access log; the answer is not given away."""
    ids = {item.request_id for item in evidence.probe("diagnosis")}
    refused = Counter(
        evidence.pods.get(str(line.get("pod")), {}).get("app", "")
        for line in evidence.access_log
        if line.get("request_id") in ids
        and str(line.get("response_code_details", "")).startswith("rbac_access_denied")
    )
    if len(refused) != 1:
        return ungradable(f"{len(refused)} sidecars refused")
    if refused[given]:
        return passed(f"{given}'s sidecar refused.")
    return failed("Another one refuses.", help="Look for rbac_access_denied in diagnosis/log.txt.")


@answer(points=2, needs=("diagnosis",))
def cause(evidence: Evidence, given: str) -> Outcome:
    """Which of the broken meshes it was."""
    return diagnosed(evidence, given)
